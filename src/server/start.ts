/**
 * Main thread of the server: makes the memory, starts the workers one after another, supervises them, and relays the rare
 * messages between them. It executes no command.
 *
 * Order of the start: descriptor limit → data directory and its lock → exclusive trial bind (so that a second instance
 * fails although the workers share the port) → memory → workers attach → stop image, if there is one → workers listen →
 * data file.
 */
import { resolve } from "node:path";
import { type Config, type ConfigChange, FROM_RUNTIME } from "../base/config/config.ts";
import { loadFailed, outOfMemory, StartupError } from "../base/errors.ts";
import { tryRewriteConfig } from "../base/config/rewrite.ts";
import { FileFailure, realFiles } from "../base/files.ts";
import { type Logger, type LogRoot, quoted } from "../base/log.ts";
import type { UserChange } from "../dispatch/user-service.ts";
import { DANGEROUS } from "../dispatch/command-names.ts";
import { MUTANT, MUTANTS } from "../memory/lock.ts";
import { systemClock } from "../base/clock.ts";
import { raiseDescriptorLimit } from "../memory/native.ts";
import { startingUsers } from "./acl-start.ts";
import { holdDataDirectory } from "./data-directory.ts";
import { limitReads, prepareSegments } from "./tier-host.ts";
import { reservedDescriptors } from "./descriptors.ts";
import { AofControl, continueFor, recoverFor } from "./aof-control.ts";
import type { RecoveredAof } from "./aof-recovery.ts";
import { tidyCheckpoints } from "../persistence/checkpoint-files.ts";
import { type DataPlaces, findData, hasData } from "../persistence/data-source.ts";
import { durabilityText } from "../persistence/durability-text.ts";
import type { ImageHead } from "../persistence/stop-image.ts";
import { checkpointDirectory } from "../persistence/save-plan.ts";
import { SaveState } from "../persistence/save-state.ts";
import { ScriptState } from "../store/script-state.ts";
import { Cell, Cells } from "./cells.ts";
import { SaveControl } from "./save-control.ts";
import { SnapshotControl } from "./snapshot-control.ts";
import type { RdbLoadRequest, RdbLoadResult } from "./rdb-load.ts";
import { reloadRdb } from "./reload.ts";
import { findManifest, SegmentReferences } from "./segment-references.ts";
import type { SegmentManifest } from "../persistence/segment-manifest.ts";
import { findImage, ImageControl } from "./image-control.ts";
import { readyText } from "./ready-text.ts";
import { ResidentMemory } from "./resident-memory.ts";
import { LogControl } from "./log-control.ts";
import { FailoverControl } from "./failover-control.ts";
import { ReplicaSlots } from "../replication/slots.ts";
import { ReplicaControl } from "./replica-control.ts";
import { makeMailboxes } from "./mailbox.ts";
import { ReplicationState } from "../replication/state.ts";
import { crewBytes, helpersOf } from "./apply-crew.ts";
import { CAPACITY, ReplicationStream } from "../replication/stream.ts";
import { Memory, type MemoryOptions } from "./memory.ts";
import type { Answer, LoadAsk, ProcessFacts, RegionMessage, ToMain, ToWorker } from "./messages.ts";
import { MetricsControl } from "./metrics-control.ts";
import { ServiceManager } from "./service-manager.ts";
import { TlsControl } from "./tls-control.ts";
import { Pace } from "./pace.ts";
import { PrimaryControl } from "./primary-control.ts";
import { publishThreadCpu } from "./thread-cpu.ts";
import { tryBind } from "./trial-bind.ts";

/** How often the main thread publishes its CPU time. */
const CPU_EVERY_MS = 500;
/** To the watchdog of a service manager a worker is stuck when its event loop has not turned for so long. */
const STALLED_MS = 20_000;
/** Workers must have sent their last replies this long after SIGTERM. */
const STOP_MS = 5000;

/** Runs the server until it is told to stop. Resolves with the exit code. Throws StartupError. */
export async function startServer(config: Config, logs: LogRoot): Promise<number> {
  const log = logs.target("server");
  if (!MUTANTS.includes(MUTANT)) throw new StartupError(`no mutant is called ${MUTANT}`, [], 1);
  if (config.flag("server.disable_dangerous_commands")) log.info(`disabled commands: ${DANGEROUS.join(", ")}`);
  const aclText = startingUsers(config, realFiles);
  const descriptors = raiseDescriptorLimit();
  const directory = holdDataDirectory(config, log);
  tryBind(config);

  const workers = config.workerThreads;
  const regionBytes = config.number("storage.region_size");
  const image = findImage(config, logs.target("persistence"));
  const [seedA, seedB] = crypto.getRandomValues(new Int32Array(2));
  const memory = makeMemory({
    shards: config.number("storage.num_shards"),
    workers: workers + 1,
    databases: config.number("server.databases"),
    regionBytes,
    regions: regionsFor(config.maxMemoryBytes, regionBytes),
    seedA: image?.geometry.seedA ?? seedA!,
    seedB: image?.geometry.seedB ?? seedB!,
    hugePages: config.flag("storage.huge_pages"),
  });

  logs.target("storage").info("memory is mapped", {
    shards: config.number("storage.num_shards"),
    region_bytes: regionBytes,
    max_memory_bytes: config.maxMemoryBytes,
  });

  const reserved = reservedDescriptors(config);
  const clientsPossible = descriptors > 0 ? Math.max(1, descriptors - reserved) : Number.MAX_SAFE_INTEGER;
  if (config.number("server.maxclients") > clientsPossible) {
    log.warn(
      `maxclients lowered to ${clientsPossible}: the limit of open files is ${descriptors}, and ${reserved} of them are reserved`,
    );
  }
  const facts: ProcessFacts = {
    startedMs: Date.now(),
    runId: crypto.getRandomValues(new Uint8Array(20)).toHex(),
    workers,
    configFile: config.source === "" ? "" : resolve(config.source),
    executable: process.execPath,
    supervised: ServiceManager.kind(process.env),
    clientsPossible,
  };
  // In these words, because scripts and test suites wait for them.
  log.info(`started, PID: ${process.pid}`);
  log.info("Server initialized");
  tidy(config, log);
  limitReads(config, log);
  if (image !== null) memory.growTo(image.regions);
  const server = new Supervisor(config, logs, memory, facts, dataAtStart(config, logs, image), aclText);
  const code = await server.run();
  directory.leave();
  return code;
}

/** Finds out where the data comes from, and removes the segment files that nothing needs. Throws StartupError. */
function dataAtStart(config: Config, logs: LogRoot, image: ImageHead | null): DataAtStart {
  const manifest = findManifest(config, logs.target("persistence"), image !== null);
  if (image !== null) return { image, recovered: null, manifest };
  const needed = new Set(manifest?.files.map(({ file }) => file));
  prepareSegments(config, logs.target("server"), (file) => needed.has(file));
  return { image, recovered: recoverFor(config, logs, manifest), manifest };
}

/** Removes the leftovers of checkpoints that a crash interrupted. */
function tidy(config: Config, log: Logger): void {
  try {
    tidyCheckpoints(realFiles, checkpointDirectory(config));
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    log.warn(`the directory of the checkpoints could not be tidied: ${thrown.message}`);
  }
}

/** Makes the shared memory. Throws StartupError when the system refuses it. */
function makeMemory(options: MemoryOptions): Memory {
  try {
    return new Memory(options);
  } catch (thrown) {
    if (thrown instanceof RangeError) throw outOfMemory(options.regionBytes);
    throw thrown;
  }
}

/** Regions for `maxMemory` bytes of data: a quarter more for dead records that wait for cleaning, and one to start with. */
function regionsFor(maxMemory: number, regionBytes: number): number {
  return Math.ceil((maxMemory * 1.25) / regionBytes) + 1;
}

/** Makes a channel between each two of `count` workers. Returns the ports of each worker, with null for itself. */
function connectAll(count: number): (MessagePort | null)[][] {
  const ports: (MessagePort | null)[][] = Array.from({ length: count }, () => new Array(count).fill(null));
  for (let a = 0; a < count; a++) {
    for (let b = a + 1; b < count; b++) {
      const { port1, port2 } = new MessageChannel();
      ports[a]![b] = port1;
      ports[b]![a] = port2;
    }
  }
  return ports;
}

/** What the data comes from: an image, or else the append-only file, if it is on. */
interface DataAtStart {
  readonly image: ImageHead | null;
  readonly recovered: RecoveredAof | null;
  /** What the append-only file refers to, also when the data comes from elsewhere. */
  readonly manifest: SegmentManifest | null;
}

interface Pending {
  answers: Answer[];
}

class Supervisor {
  private readonly workers: Worker[] = [];
  private readonly regionPorts: MessagePort[] = [];
  private readonly pending = new Map<string, Pending>();
  private stopping = false;
  private stopped = 0;
  private exit: (code: number) => void = () => {};
  private waiting: { kind: ToMain["kind"]; left: number; resolve: () => void; reject: (error: Error) => void } | null =
    null;

  constructor(
    private readonly config: Config,
    private readonly logs: LogRoot,
    private readonly memory: Memory,
    private readonly facts: ProcessFacts,
    private readonly data: DataAtStart,
    private readonly aclText: string | null,
  ) {
    const host = {
      workers: facts.workers,
      send: (worker: number, message: ToWorker, transfer?: MessagePort[]) =>
        this.workers[worker]!.postMessage(message, transfer ?? []),
      loadRdb: (request: RdbLoadRequest) => this.loadRdb(request),
      writeBase: (name: string) => this.saves.writeBase(name),
      isWasteful: () => this.references.isWasteful,
    };
    this.logControl = new LogControl(config, logs, facts.workers);
    this.tls = TlsControl.open(config, realFiles, systemClock, logs.target("tls"), (material) => {
      for (let worker = 0; worker < facts.workers; worker++) this.send(worker, { kind: "renewTls", material });
    });
    this.metrics = new MetricsControl(config, memory, facts, logs.target("metrics"), () => ({
      droppedLines: this.logControl.queue.dropped,
      tls: this.tls.served,
      isStopping: this.stopping,
      isReady: this.isReady,
    }));
    this.aof = new AofControl(config, logs, memory.control, host, (text) => this.appendFailed(text));
    this.cells = new Cells(memory.control, 0);
    this.pace = new Pace(this.cells, facts.workers);
    const log = logs.target("persistence");
    this.snapshots = new SnapshotControl(memory.control, facts.workers, log, host.send);
    this.references = new SegmentReferences(config, log, memory.control);
    this.saves = new SaveControl(config, log, memory.control, this.cells, this.snapshots, this.references);
    this.images = new ImageControl(config, log, memory, this.cells, host);
    this.manager = ServiceManager.open(process.env, String(config.get("redis.supervised")), {
      log: logs.target("server"),
      stalled: () => this.stalledWorkers(),
    });
    this.mailboxes = makeMailboxes(facts.workers);
    this.replication = new ReplicationState(
      memory.control,
      new ReplicationStream(memory.control, this.replicationRing),
    );
    this.replication.initialize();
    this.crewMemory = new SharedArrayBuffer(crewBytes(helpersOf(config, facts.workers)));
    const ofReplicas = logs.target("replication");
    this.primary = new PrimaryControl(config, ofReplicas, memory.control, this.replication, this.snapshots, host);
    this.mailPorts = connectAll(facts.workers);
    const promoted = () => this.failover.promoted();
    this.replica = new ReplicaControl(config, ofReplicas, this.replication, this.aof, { ...host, promoted });
    const slots = new ReplicaSlots(memory.control);
    this.failover = new FailoverControl(config, ofReplicas, systemClock, this.replication, slots, {
      ...host,
      changeConfig: (changes) => this.changeConfig(changes),
      isPresent: (epoch) => this.replica.isPresent(epoch),
    });
  }
  private readonly logControl: LogControl;
  private readonly replica: ReplicaControl;
  private readonly failover: FailoverControl;
  private readonly manager: ServiceManager;
  private readonly tls: TlsControl;
  private readonly metrics: MetricsControl;
  private readonly aof: AofControl;
  private readonly snapshots: SnapshotControl;
  private readonly references: SegmentReferences;
  private readonly saves: SaveControl;
  private readonly images: ImageControl;
  private readonly cells: Cells;
  private readonly pace: Pace;
  private readonly mailboxes: SharedArrayBuffer;
  private readonly replicationRing = new SharedArrayBuffer(CAPACITY);
  private readonly crewMemory: SharedArrayBuffer;
  private readonly replication: ReplicationState;
  private readonly primary: PrimaryControl;
  private readonly mailPorts: (MessagePort | null)[][];

  async run(): Promise<number> {
    const log = this.logs.target("server");
    this.primary.tidy();
    const ended = new Promise<number>((resolve) => {
      this.exit = resolve;
    });
    // One after another, because Bun does not start several workers at once reliably on every system.
    for (let worker = 0; worker < this.facts.workers; worker++) {
      const ready = this.expect("ready", 1);
      this.startWorker(worker);
      await ready;
    }
    // Before the first client, whose INFO shows it.
    const own = new Cells(this.memory.control, this.facts.workers);
    publishThreadCpu(own);
    const { pace } = this;
    pace.every(CPU_EVERY_MS, () => publishThreadCpu(own));
    const resident = new ResidentMemory(this.memory, this.config, own);
    this.metrics.begin();
    this.manager.loading();
    // A client may write and the server be stopped as soon as the workers listen.
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => this.stopBySignal(signal));
    const { recovered, isThere } = await this.recover();
    // Not before: what is being put in place belongs to the data.
    resident.begin(pace);
    const hasFile = recovered !== null || hasData(realFiles, this.places);
    this.memory.control.isLoading = hasFile;
    process.on("SIGHUP", () => {
      const reopens = this.logControl.reopen();
      if (reopens) log.info("SIGHUP: the log file is opened anew");
      else if (this.tls.served === null) log.info("SIGHUP is ignored: there is neither a log file nor a certificate");
      this.manager.whileReloading(() => {
        if (this.tls.served !== null) this.tls.reload("SIGHUP");
      });
    });
    process.on("SIGUSR2", () => this.snapshotHeaps(log));
    if (this.data.image === null) await this.listen();
    else this.images.serve();
    if (recovered !== null) await this.aof.begin(recovered, this.replication, isThere);
    else if (hasFile && !isThere) await this.loadData();
    // Before the first change of a client.
    this.saves.noteLoaded(recovered?.position ?? -1);
    this.memory.control.isLoading = false;
    this.saves.begin(pace);
    resident.beginTouching(pace);
    this.tls.begin();
    this.replica.begin();
    this.isReady = true;
    if (this.signalled !== "") this.stopBySignal(this.signalled);
    const { text, isDurable } = durabilityText(this.config);
    if (isDurable) log.info(text);
    else log.warn(text);
    const ready = readyText(this.config);
    log.info(ready);
    this.manager.ready(ready);
    return ended;
  }

  private async listen(): Promise<void> {
    const listening = this.expect("listening", this.facts.workers);
    for (let worker = 0; worker < this.facts.workers; worker++)
      this.send(worker, { kind: "listen", tls: this.tls.served });
    await listening;
  }

  /**
   * Puts the data of the image in place, if there is one, or else makes the append-only file ready. `isThere`: the data is in
   * place. Before anybody is served: what clients do takes memory, too. Those that connect meanwhile hear LOADING.
   */
  private async recover(): Promise<{ recovered: RecoveredAof | null; isThere: boolean }> {
    const { config, logs, data, memory } = this;
    if (data.image === null) {
      this.keepReferences(false);
      return { recovered: data.recovered, isThere: false };
    }
    memory.control.isLoading = true;
    const loading = this.images.load(data.image);
    await this.listen();
    const isThere = await loading;
    this.keepReferences(isThere);
    prepareSegments(config, logs.target("server"), (file) => this.images.keepsSegment(file));
    if (!isThere) return { recovered: recoverFor(config, logs, data.manifest), isThere };
    const { source, history } = data.image;
    if (source.kind === "rdb" && history !== null) this.replication.restore(history);
    return { recovered: continueFor(config, source), isThere };
  }

  /** What the append-only file refers to stays, and the workers learn what is theirs. `isThere`: the data is in place. */
  private keepReferences(isThere: boolean): void {
    const { references, data } = this;
    if (data.manifest !== null) {
      const files = references.begin(data.manifest, isThere);
      if (this.config.flag("storage.tiering")) this.images.shareOut(files);
    }
    references.tidy();
  }

  /** The workers whose event loop has not turned for long, with no script that may run so long; "" = none. */
  private stalledWorkers(): string {
    const { cells, facts, memory } = this;
    if (memory.control.isLoading || this.stopping || new ScriptState(memory.control, 0).busy > 0) return "";
    const before = systemClock.wallMs() - STALLED_MS;
    const workers = Array.from({ length: facts.workers }, (_, worker) => worker);
    const stalled = workers.filter((worker) => cells.of(worker, Cell.loopLookedMs) < before);
    return stalled.length === 0
      ? ""
      : `no turn of the event loop for ${STALLED_MS / 1000} s in worker ${stalled.join(", ")}`;
  }

  private snapshotHeaps(log: Logger): void {
    if (!this.config.flag("server.heap_profiling"))
      return log.info(
        "SIGUSR2 is ignored: it writes snapshots of the heap after CONFIG SET server.heap_profiling yes, or with --enable-heap-profiling",
      );
    for (let worker = 0; worker < this.facts.workers; worker++) this.send(worker, { kind: "heap" });
  }

  private get places(): DataPlaces {
    const directory = resolve(this.config.text("storage.data_dir"));
    const rdbName = this.config.text("persistence.rdb_filename");
    return { directory, rdbName, checkpoints: checkpointDirectory(this.config) };
  }

  /** Loads the newest checkpoint that is whole, or the RDB file. Clients hear that the server is loading. */
  private async loadData(): Promise<void> {
    const state = new SaveState(this.memory.control);
    state.set("loadBeganMs", systemClock.wallMs());
    const path = findData(realFiles, this.logs.target("persistence"), this.places);
    if (path === "") return;
    state.set("loadBytes", realFiles.stat(path)?.bytes ?? 0);
    // A replica does not decide itself that a key goes.
    const { isReplica } = this.replication;
    const { history, expired } = await this.loadRdb({ path, isPreamble: false, isReplicas: isReplica });
    // Replicas of a primary would keep what was left out.
    if (history !== null && (isReplica || expired === 0)) this.replication.restore(history);
  }

  /** Loads an RDB file in all workers. Throws StartupError when it is damaged or does not fit. */
  private async loadRdb(request: RdbLoadRequest): Promise<Pick<RdbLoadResult, "history" | "expired">> {
    const beganMs = systemClock.monotonicMs();
    const loaded = this.expect("loadedRdb", this.facts.workers);
    for (let worker = 0; worker < this.facts.workers; worker++) this.send(worker, { kind: "loadRdb", request });
    await loaded;
    const results = this.rdbResults.splice(0);
    const [failure] = results.flatMap((result) => result.failure ?? []).sort((a, b) => a.offset - b.offset);
    if (failure !== undefined) throw loadFailed(request.path, failure.offset, failure.reason);
    const sum = (count: (result: RdbLoadResult) => number) => results.reduce((all, result) => all + count(result), 0);
    const keys = sum((result) => result.keys);
    const expired = sum((result) => result.expired);
    const state = new SaveState(this.memory.control);
    state.set("loadedKeys", keys);
    state.set("expiredKeys", expired);
    state.set("savedChanges", this.cells.sum(Cell.changes));
    const seconds = ((systemClock.monotonicMs() - beganMs) / 1000).toFixed(3);
    this.logs
      .target("persistence")
      .info(`DB loaded from disk: ${request.path}, ${keys} keys, ${expired} expired keys left out, ${seconds} s`);
    return { history: results[0]!.history, expired };
  }
  private readonly rdbResults: RdbLoadResult[] = [];

  private startWorker(number: number): void {
    const worker = new Worker(new URL("./worker.ts", import.meta.url));
    const ports = new MessageChannel();
    const mailPorts = this.mailPorts[number]!;
    worker.onmessage = (event: MessageEvent<ToMain>) => this.receive(event.data);
    worker.onerror = (event) => this.fatal(`worker ${number} failed: ${event.message}`);
    worker.addEventListener("close", () => {
      if (!this.stopping) this.fatal(`worker ${number} ended`);
    });
    this.workers.push(worker);
    this.regionPorts.push(ports.port1);
    const message: ToWorker = {
      kind: "start",
      worker: number,
      control: this.memory.control.buffer,
      regions: this.memory.regions,
      regionPort: ports.port2,
      mailboxes: this.mailboxes,
      mailPorts,
      replicationRing: this.replicationRing,
      crewMemory: this.crewMemory,
      config: this.config.toSnapshot(),
      facts: this.facts,
      logs: this.logControl.queue.buffer,
      logRings: this.logControl.queue.rings,
      logBytes: this.logControl.queue.size,
      aclText: this.aclText,
    };
    worker.postMessage(message, [ports.port2, ...mailPorts.filter((port) => port !== null)]);
  }

  private send(worker: number, message: ToWorker): void {
    this.workers[worker]!.postMessage(message);
  }

  private expect(kind: ToMain["kind"], count: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting = { kind, left: count, resolve, reject };
    });
  }

  private receive(message: ToMain): void {
    if (this.aof.receive(message) || this.saves.receive(message) || this.images.receive(message)) return;
    if (this.primary.receive(message) || this.replica.receive(message) || this.failover.receive(message)) return;
    if (message.kind === "loadedRdb") this.rdbResults.push(message.result);
    if (this.waiting !== null && message.kind === this.waiting.kind && --this.waiting.left === 0)
      this.waiting.resolve();
    switch (message.kind) {
      case "failed":
        this.waiting?.reject(new StartupError(`worker ${message.worker}: ${message.text}`, [], 1));
        return;
      case "region":
        this.grow();
        return;
      case "active":
        this.pace.awake();
        return;
      case "shutdown":
        void this.stop("SHUTDOWN", message.isNow, message.isBare);
        return;
      case "fatal":
        this.fatal(`worker ${message.worker}: ${message.text}`);
        return;
      case "stopped":
        if (++this.stopped === this.facts.workers) void this.end();
        return;
      case "saved":
        this.endSave(message.failure);
        return;
      case "monitored":
        for (const worker of message.to) {
          this.send(worker, { kind: "monitored", from: message.worker, batch: message.batch });
        }
        return;
      case "monitorTaken":
        this.send(message.to, { kind: "monitorTaken", bytes: message.bytes });
        return;
      case "ask":
        this.passOn(message);
        return;
      case "answer": {
        const key = `${message.to}/${message.id}`;
        const pending = this.pending.get(key);
        if (pending === undefined) return;
        pending.answers.push(message.answer);
        if (pending.answers.length < this.facts.workers) return;
        this.pending.delete(key);
        this.send(message.to, { kind: "answers", id: message.id, answers: pending.answers });
      }
    }
  }

  /** Answers what a worker asks, or asks all workers for it. */
  private passOn(message: Extract<ToMain, { kind: "ask" }>): void {
    if (message.ask.kind === "rewriteAof") {
      const answers: Answer[] = [{ kind: "rewriting", failure: this.aof.rewrite() }];
      this.send(message.worker, { kind: "answers", id: message.id, answers });
      return;
    }
    if (message.ask.kind === "loadAof" || message.ask.kind === "reloadRdb") {
      void this.loadAnew(message.ask).then((failure) => {
        this.send(message.worker, { kind: "answers", id: message.id, answers: [{ kind: "reloaded", failure }] });
      });
      return;
    }
    if (message.ask.kind === "handOver") {
      void this.failover.ask(message.ask.ask).then((failure) => {
        this.send(message.worker, { kind: "answers", id: message.id, answers: [{ kind: "handedOver", failure }] });
      });
      return;
    }
    if (message.ask.kind === "rewriteConfig") {
      const answers: Answer[] = [{ kind: "rewritten", failure: this.rewriteConfig(message.ask.users) }];
      this.send(message.worker, { kind: "answers", id: message.id, answers });
      return;
    }
    if (message.ask.kind === "config") {
      this.config.apply(message.ask.changes);
      const keys = message.ask.changes.map(({ name }) => name).join(" ");
      this.logs.target("config").info("changed by CONFIG SET", { keys });
      // Before the question: the workers have renewed their listeners when they answer.
      this.tls.changed(message.ask.changes);
      this.memory.allowRegions(regionsFor(this.config.maxMemoryBytes, this.config.number("storage.region_size")));
    }
    if (message.ask.kind === "users" && message.ask.ask.kind === "change") this.noteUserChange(message.ask.ask.change);
    this.pending.set(`${message.worker}/${message.id}`, { answers: [] });
    for (let worker = 0; worker < this.facts.workers; worker++) {
      this.send(worker, { kind: "ask", id: message.id, from: message.worker, ask: message.ask });
    }
  }

  /** Has the data loaded anew. Resolves with the error, "" = there is none. */
  private loadAnew(ask: LoadAsk): Promise<string> {
    if (ask.kind === "loadAof") return this.aof.reload();
    return reloadRdb(this.config, this.logs.target("persistence"), ask.options, {
      save: () => this.saves.saveForReload(),
      replace: (replacement) => this.aof.replaceData(replacement),
      load: (request) => this.loadRdb(request),
    });
  }

  /** Changes the configuration in all threads, for the main thread itself: no answers are awaited. */
  private changeConfig(changes: readonly ConfigChange[]): void {
    this.config.apply(changes);
    for (let worker = 0; worker < this.facts.workers; worker++)
      this.send(worker, { kind: "ask", id: 0, from: 0, ask: { kind: "config", changes } });
  }

  private noteUserChange(change: UserChange): void {
    const log = this.logs.target("acl");
    if (change.kind === "set") log.info(`user ${quoted(change.name)} is changed`);
    else if (change.kind === "delete") log.info(`users ${change.names.map(quoted).join(", ")} are deleted`);
    else log.info(`users are replaced by those of ${change.path}`);
  }

  /** Runs CONFIG REWRITE. Returns the reason of a failure, or "". */
  private rewriteConfig(users: Readonly<Record<string, string>> | null): string {
    if (users !== null) this.config.place("server.users", users, FROM_RUNTIME);
    const log = this.logs.target("config");
    const failure = tryRewriteConfig(realFiles, this.config);
    if (failure === "") log.info(`${this.config.source}: rewritten by CONFIG REWRITE`);
    else log.warn(`CONFIG REWRITE failed, ${this.config.source} is unchanged: ${failure}`);
    return failure;
  }

  /** Makes another region. Announces it before any frame in it is allocated, so that every worker can map its addresses. */
  private grow(): void {
    if (!this.memory.mayGrow) return;
    const region = this.memory.tryMakeRegion();
    if (region === -1) {
      const text = `Cannot allocate memory for region ${this.memory.regions.length}: ${this.memory.refusal}`;
      this.logs.target("storage").error("out_of_memory", `${text}. Writes that need more get OOM; all else continues.`);
      return;
    }
    const message: RegionMessage = { region, buffer: this.memory.regions[region]! };
    for (const port of this.regionPorts) port.postMessage(message);
    this.memory.pool.addRegion(region);
    this.logs.target("storage").debug(`memory region ${region} added`);
  }

  /** The append-only file cannot be written, and replies wait for that. */
  private appendFailed(text: string): void {
    const words = "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...";
    this.logs.target("persistence").error("aof_failed", `${text}: ${words}`);
    this.logs.close();
    process.exit(1);
  }

  /** All workers have stopped: what they changed goes to the disk. */
  private async end(): Promise<void> {
    clearTimeout(this.stopTimer);
    await this.saves.stop();
    this.primary.stop();
    const isSafe = await this.aof.stop();
    if (isSafe) this.aof.noteHistory(this.replication);
    if (isSafe && this.leavesImage) {
      const { id, offset, streamDatabase: database, stream } = this.replication;
      await this.images.save(this.aof.ended, stream.isOn ? { id, offset, database } : null);
    }
    this.exit(isSafe ? 0 : 1);
  }

  /** SIGTERM or SIGINT: as SHUTDOWN without options. Save points and checkpoint_on_shutdown have the data saved first. */
  private stopBySignal(signal: string): void {
    if (this.stopping || this.saving !== "") return;
    if (!this.isReady) return this.stopEarly(signal);
    // A replica that loads the data of its primary has nothing that is worth a file.
    if (this.memory.control.isLoading) return void this.stop(signal, true, true);
    this.saving = signal;
    this.manager.stopping();
    this.send(0, { kind: "saveLast" });
  }
  private saving = "";
  private isReady = false;
  /** The signal that came before the server was ready. */
  private signalled = "";

  /** While the data is loaded there is nothing to save. */
  private stopEarly(signal: string): void {
    this.signalled = signal;
    if (!this.memory.control.isLoading) return;
    this.logs.target("server").info(`${signal}: stopping while the data is loaded`);
    this.logs.close();
    process.exit(0);
  }

  private endSave(failure: string): void {
    const signal = this.saving;
    this.saving = "";
    if (failure === "") return void this.stop(signal, false, false);
    this.logs.target("server").error("save_failed", `${signal}: the data could not be saved, so the server goes on`);
    this.manager.goesOn(readyText(this.config));
  }

  private async stop(reason: string, isNow: boolean, isBare: boolean): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    this.leavesImage = !isBare && this.images.isWanted;
    this.manager.stopping();
    this.logs.target("server").info(`${reason}: stopping`);
    if (!isNow) await this.primary.catchUp();
    const settles = this.leavesImage;
    for (let worker = 0; worker < this.facts.workers; worker++) this.send(worker, { kind: "stop", settles });
    this.stopTimer = setTimeout(() => {
      this.logs.target("server").warn("a worker did not stop in time");
      this.exit(0);
    }, STOP_MS);
  }

  private stopTimer: Timer | undefined;
  private leavesImage = false;

  /** Stops the process at once. A worker that failed may have left half-changed data behind its locks. */
  private fatal(text: string): void {
    this.logs.target("server").error("worker_failed", `stopping at once: ${text}`);
    this.logs.close();
    process.exit(70);
  }
}
