/**
 * Data worker: a thread with its own listener, its own engine over the shared memory, and the background work of its home
 * shards. start.ts starts it. It is never terminated or restarted.
 */
import { receiveMessageOnPort } from "node:worker_threads";
import type { Socket, TCPSocketConnectOptions } from "bun";
import { systemClock } from "../base/clock.ts";
import { Config } from "../base/config/config.ts";
import { realFiles } from "../base/files.ts";
import { soon } from "../base/soon.ts";
import { DEBUG, type Logger, type LogRoot, quoted } from "../base/log.ts";
import { ReplicationState } from "../replication/state.ts";
import { CAPACITY, ReplicationStream } from "../replication/stream.ts";
import { Pause } from "../dispatch/services.ts";
import { nameThread } from "../memory/native.ts";
import { FatalError } from "../store/section.ts";
import { assert, BrokenInvariant } from "../base/assert.ts";
import { Arena } from "../memory/arena.ts";
import { ChangeLog } from "../memory/change-log.ts";
import { Control } from "../memory/control.ts";
import { ErrorText } from "../protocol/errors.ts";
import { Admission } from "./admission.ts";
import { AofLoad, type LoadRequest } from "./aof-load.ts";
import { Background, every } from "./background.ts";
import { BusySockets } from "./busy-sockets.ts";
import { Cell } from "./cells.ts";
import { Client, type ClientHost } from "./client.ts";
import { ClientRound } from "./client-round.ts";
import { Collector } from "./collector.ts";
import { Door, Doors, isAdminDoor, onEachHost } from "./doors.ts";
import { Engine } from "./engine.ts";
import { ImagePart } from "./image-part.ts";
import { Mailbox } from "./mailbox.ts";
import type { Answer, MonitorBatch, ProcessFacts, RegionMessage, ToMain, ToWorker } from "./messages.ts";
import { NativeSockets } from "./native-sockets.ts";
import { persistenceOf } from "./persistence.ts";
import { Profiles } from "./profiles.ts";
import { primaryFeedOf } from "./primary-host.ts";
import { Pushes } from "./pushes.ts";
import { failedLoad, RdbLoad, type RdbLoadRequest, type RdbLoadResult } from "./rdb-load.ts";
import { ReplicaPart } from "./replica-part.ts";
import { Services } from "./services.ts";
import { SnapshotPart } from "./snapshot-part.ts";
import { checkTlsSettings, type TlsListenOptions, type TlsMaterial } from "./tls-files.ts";
import { LoadProgress } from "./load-progress.ts";
import { HANDSHAKE_MS, TlsListeners } from "./tls-listeners.ts";
import { addressText, certificateOf, descriptorOf, isLoopback } from "./socket-facts.ts";
import { SyncGate } from "./sync-gate.ts";
import { startTier } from "./tier-host.ts";
import { transportOf } from "./transport/bun-transport.ts";
import { EpollSocket } from "./transport/epoll-sockets.ts";
import { type EpollHost, EpollTransport, usesEpoll } from "./transport/epoll-transport.ts";
import type { Proceeding } from "./turn.ts";
import { WorkerFigures } from "./worker-figures.ts";
import { workerLogs } from "./worker-logs.ts";

declare const self: Worker;

/** Time for the last log lines and closing sockets before `stopped`, ms. */
const STOP_DELAY_MS = 2;
/** Pause of a continuation that rests (Continuation.isResting), ms. */
const REST_MS = 2;

type ClientSocket = Socket<Client>;

function postToMain(message: ToMain): void {
  self.postMessage(message);
}

class DataWorker implements ClientHost {
  readonly post = postToMain;
  private readonly engine: Engine;
  readonly services: Services;
  readonly replication: ReplicationState;
  readonly snapshots: SnapshotPart;
  get image(): ImagePart {
    this.imagePart ??= new ImagePart(this.engine, realFiles, this.facts.workers, this);
    return this.imagePart;
  }
  private imagePart: ImagePart | null = null;
  readonly profiles: Profiles;
  private readonly logs: LogRoot;
  private readonly ringWatch: ReturnType<typeof startTier>;
  readonly replica: ReplicaPart;
  private readonly log: Logger;
  readonly clients = new Map<number, Client>();
  private readonly figures: WorkerFigures;
  private doors!: Doors;
  private admission!: Admission;
  private readonly collector: Collector;
  readonly mailbox: Mailbox;
  private connections = 0;
  private nextClient = 1;

  constructor(
    private readonly worker: number,
    control: Control,
    readonly arena: Arena,
    readonly config: Config,
    private readonly facts: ProcessFacts,
    start: Extract<ToWorker, { kind: "start" }>,
  ) {
    const { logs, queue } = workerLogs(start, config);
    this.logs = logs;
    this.log = logs.target("server");
    this.services = new Services(worker, control, facts, this.clients, config, postToMain);
    Object.assign(this.services, { logs, logQueue: queue });
    this.engine = new Engine(arena, worker, systemClock, config, this.services);
    this.replication = new ReplicationState(control, new ReplicationStream(control, start.replicationRing));
    this.engine.attachReplication(this.replication);
    this.profiles = new Profiles(worker, facts.workers, config, realFiles, systemClock, this.log);
    this.figures = new WorkerFigures(this.engine, this.services, systemClock);
    checkTlsSettings(config, realFiles, logs.target("tls"));
    this.services.attach(this.engine, ({ session: { id }, address, memoryBytes }) =>
      this.log.info("client evicted", { client: id, addr: address, bytes: memoryBytes }),
    );
    this.services.persistence = persistenceOf(
      this.engine,
      realFiles,
      logs.target("persistence"),
      () => this.services.wantRegion(),
      facts.workers,
      () => postToMain({ kind: "backgroundSave" }),
      this.services.fileRequests,
    );
    if (worker === 0) this.services.persistence.begin();
    this.ringWatch = startTier(this.engine, facts.workers, logs.target("storage"), (work) => this.guard(work));
    this.services.replicas = primaryFeedOf(this.replication, {
      engine: this.engine,
      clients: this.clients,
      facts,
      log: logs.target("replication"),
      persistence: this.services.persistence,
      mailbox: () => this.mailbox,
      pause: () => this.services.pause,
      post: postToMain,
      guard: (work) => this.guard(work),
    });
    this.snapshots = new SnapshotPart(this.engine, this.services.persistence, postToMain, (work) => this.guard(work));
    this.replica = new ReplicaPart(this.engine, this.replication, start.crewMemory, logs.target("replication"), this);
    const { regionBytes } = control.geometry;
    const sharedBytes = control.buffer.byteLength + queue.buffer.byteLength + CAPACITY;
    const allShared = () => sharedBytes + arena.attachedRegions * regionBytes;
    this.collector = this.services.collector = new Collector(allShared, () => this.engine.clientBytes);
    this.mailbox = this.makeMailbox(start);
    const { mailbox, engine } = this;
    const { blocking, turn } = engine;
    engine.call.pubsub.mail = mailbox;
    this.services.pushes = new Pushes(worker, facts.workers, this.clients, turn, mailbox, blocking);
    blocking.send = (to, served) => mailbox.send(to, served);
    turn.mail = engine.call.tracking.mail = mailbox;
    turn.later = soon;
    turn.failed = (thrown, client) => this.failed(thrown, client);
  }

  /** `mail`: see the message "start". */
  private makeMailbox(mail: Pick<Extract<ToWorker, { kind: "start" }>, "mailboxes" | "mailPorts">): Mailbox {
    const { blocking } = this.engine;
    const { pubsub } = this.engine.call;
    pubsub.batches = true;
    return new Mailbox(this.worker, mail.mailboxes, mail.mailPorts, {
      woken: () => this.replica.woken(),
      served: (served) => this.guard(() => blocking.receive(served)),
      pushed: (client, resp2, resp3, position) => this.services.pushes.toClient(client, resp2, resp3, position),
      invalid: (...of) => this.services.pushes.invalidate(...of),
      broken: (client, redirect) => this.services.pushes.invalidations.broken(client, redirect),
      lost: () => this.services.pushes.lost(),
      published: (message) => pubsub.receive(message),
      publishedAll: (run) => pubsub.receiveAll(run),
      deliver: () => pubsub.deliver(),
    });
  }

  /** The ID of a new client. */
  nextId(): number {
    return this.nextClient++ * this.facts.workers + this.worker;
  }

  /** Lets scripts that run too long answer the connections of this worker (busy-sockets.ts). */
  private answerWhileBusy(native: NativeSockets | null): void {
    if (native === null) return;
    const { engine, services, config } = this;
    const sockets = new BusySockets(
      native,
      {
        table: engine.dispatcher.table,
        limits: engine.parser.limits,
        state: engine.scripts.state,
        clients: () => this.clients.values(),
        listeners: () => this.doors.descriptors,
        accepted: (descriptor, listener) => this.doors.noteAccepted(descriptor, listener),
        mayAnswer: (descriptor) =>
          engine.users.defaultUser.isOpen &&
          (!config.flag("server.protected_mode") || native.isFromLoopback(descriptor)),
        mayRun: (client, spec) => engine.call.access.allowsRow(client?.session.user ?? engine.users.defaultUser, spec),
        adopt: (descriptor, bytes) => this.adopt(descriptor, bytes),
        sendEarly: (send) => engine.turn.sendEarly(send),
        shutdown: () => services.shutdown(false, true),
      },
      () => systemClock.monotonicMs(),
    );
    engine.scripts.runs.answerClients = () => sockets.poll();
    // Before the next bytes of these connections are read (BUSY-1).
    engine.scripts.runs.busyEnded = () => engine.turn.later!(() => this.guard(() => sockets.finish()));
  }

  /** Hands a connection that was accepted by a system call to the event loop, with the bytes of it that were read. */
  private adopt(descriptor: number, bytes: Buffer): void {
    const door = this.doors.takeAccepted(descriptor);
    const taken = this.epoll?.adopt(descriptor, door) ?? null;
    if (taken !== null) {
      if (bytes.length > 0) this.guard(() => taken.data.receive(Buffer.from(bytes)));
      return;
    }
    const handlers = this.handlers(door);
    const open = (socket: ClientSocket) => {
      handlers.open(socket);
      if (bytes.length > 0) handlers.data(socket, Buffer.from(bytes));
    };
    // Bun accepts fd here, but the types of Bun 1.4.5 lack it.
    const options = { fd: descriptor, socket: { ...handlers, open } };
    void Bun.connect<Client>(options as unknown as TCPSocketConnectOptions<Client>);
  }

  /** Listens, and begins the background work. `tls`: null = TLS is off. */
  listen(tls: TlsMaterial | null): void {
    const native = NativeSockets.open();
    this.answerWhileBusy(native);
    this.collector.begin();
    this.services.tick();
    const round = new ClientRound(this.clients, this.engine.cells);
    this.admission = new Admission(this.config, this.facts.workers, systemClock);
    this.epoll = usesEpoll(this.config) ? EpollTransport.open<Client>(this.epollHost()) : null;
    this.doors = new Doors(this.config, this.worker, native, (door) => this.handlers(door), this.epoll);
    this.doors.open();
    if (tls !== null) {
      this.tls = new TlsListeners(native, this.tlsHandlers());
      this.noteCertificates(tls);
      const port = this.config.tlsPort;
      onEachHost(this.config, (host) => this.tls!.open(host, port, tls.options));
    }
    this.background = this.makeBackground(round);
    this.background.begin();
  }
  private background: Background | null = null;

  private makeBackground(round: ClientRound): Background {
    const { config, logs, worker, engine, services, collector, figures, facts } = this;
    return new Background({
      ...{ config, logs, worker, engine, services, collector, figures, round },
      every,
      clock: systemClock,
      workers: facts.workers,
      isQuiet: () => this.image.isQuiet,
      lookAtHandshakes: (nowMs) => {
        for (const [client, since] of this.handshakes) if (nowMs - since > HANDSHAKE_MS) client.transport.terminate();
        return this.handshakes.size > 0;
      },
      wakeOne: (to) => this.mailbox.wakeOne(to),
      awoke: () => soon(() => postToMain({ kind: "active" })),
      guard: (work) => this.guard(work),
    });
  }
  /** A message came: there may be something to do. */
  wakeBackground(): void {
    this.background?.wake();
  }
  private tls: TlsListeners | null = null;
  private epoll: EpollTransport<Client> | null = null;

  private epollHost(): EpollHost<Client> {
    const received = (length: number): void => this.collector.countRead(length);
    const failed = (thrown: unknown, client: Client): void => this.failed(thrown, client);
    return {
      now: () => systemClock.monotonicMs(),
      failed: (thrown) => this.failed(thrown, null),
      began: (loop) => {
        this.engine.turn.later = loop.later;
        this.ringWatch?.join(loop);
      },
      hostOf: (door) => ({ open: (socket) => this.guard(() => this.opened(socket, door)), received, failed }),
    };
  }

  /** As handlers, for TLS. `open` comes before the handshake, and `data` only after it. */
  private tlsHandlers() {
    return {
      ...this.handlers(Door.Tls),
      handshake: (socket: ClientSocket, isComplete: boolean, error: Error | null) =>
        this.guard(() => this.shookHands(socket, isComplete, error)),
    };
  }

  private handlers(door: Door) {
    return {
      open: (socket: ClientSocket) => this.guard(() => this.opened(socket, door)),
      data: (socket: ClientSocket, bytes: Buffer) => {
        try {
          socket.data.receive(bytes);
        } catch (thrown) {
          this.failed(thrown, socket.data);
        }
        this.collector.countEvent(bytes.length);
      },
      drain: (socket: ClientSocket) => this.guard(() => socket.data?.drained()),
      close: (socket: ClientSocket) => this.guard(() => socket.data?.disconnected()),
      error: (socket: ClientSocket, error: Error) => {
        this.log.debug(`connection error: ${error.message}`, { addr: socket.data?.address ?? "" });
        socket.terminate();
      },
    };
  }

  guard(work: () => void): void {
    try {
      work();
    } catch (thrown) {
      this.failed(thrown, null);
    }
  }

  /** Closes the connection after an exception. Stops the process when the data may be half changed. */
  private failed(thrown: unknown, client: Proceeding | null): void {
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    if (thrown instanceof FatalError || thrown instanceof BrokenInvariant) {
      postToMain({ kind: "fatal", worker: this.worker, text });
      return;
    }
    this.log.error("unexpected", `unexpected error, connection closed: ${text}`);
    if (client instanceof Client) client.transport.terminate();
  }

  private opened(socket: ClientSocket | EpollSocket<Client>, door: Door): void {
    const unix = door === Door.Unix;
    this.connections++;
    this.engine.cells.set(Cell.connections, this.connections);
    const id = this.nextId();
    const transport = socket instanceof EpollSocket ? socket : transportOf(socket);
    const client = new Client(id, this.engine, transport, this);
    socket.data = client;
    client.address = unix
      ? `${this.config.text("server.unix_socket")}:0`
      : addressText(socket.remoteAddress, socket.remotePort);
    client.localAddress = unix ? client.address : addressText(socket.localAddress, socket.localPort);
    // A script that keeps the event loop from turning answers plain sockets by system calls.
    if (door !== Door.Tls) client.descriptor = descriptorOf(socket);
    client.session.createdMs = systemClock.wallMs();
    client.session.activeMs = systemClock.monotonicMs();
    const refusal = this.refusal(socket, door);
    if (refusal !== "") {
      this.log.debug("client refused", { addr: client.address, reason: refusal.slice(0, 40) });
      this.services.rejected++;
      this.engine.cells.set(Cell.rejected, this.services.rejected);
      client.closeAfterReplies();
      // Before the handshake nothing can be said.
      if (door === Door.Tls) return socket.terminate();
      const bytes = Buffer.from(`-${refusal}\r\n`);
      socket.write(bytes, 0, bytes.length);
      socket.end();
      return;
    }
    if (this.log.level <= DEBUG)
      this.log.debug("client connected", { client: id, addr: client.address, laddr: client.localAddress });
    // An administrator who frees a full server must not be evicted.
    client.session.noEvict = isAdminDoor(door);
    this.clients.set(id, client);
    this.services.countClients(1);
    const keepAlive = this.config.number("server.tcp_keepalive");
    if (!unix) {
      socket.setNoDelay(true);
      if (keepAlive > 0) socket.setKeepAlive(true, keepAlive * 1000);
    }
    this.admit(socket, door);
  }

  /** Serves a connection, at once or when it is its turn (admission.ts). */
  private admit(socket: ClientSocket | EpollSocket<Client>, door: Door): void {
    const client = socket.data;
    let isHeld = false;
    const begin = () => {
      client.session.activeMs = systemClock.monotonicMs();
      if (door === Door.Tls) this.handshakes.set(client, client.session.activeMs);
      if (isHeld) socket.resume();
    };
    if (isAdminDoor(door)) return begin();
    this.admission.admit({
      get isClosed() {
        return client.isClosed;
      },
      hold: () => {
        isHeld = true;
        socket.pause();
        this.engine.cells.set(Cell.delayed, this.admission.delayed);
      },
      serve: begin,
    });
  }

  /** The clients whose handshake is not complete, with the time at which they came. */
  private readonly handshakes = new Map<Client, number>();

  /**
   * The end of a TLS handshake. With tls_verify_client = true Bun closes a connection without a good certificate after this
   * call; with "optional" a bad one is refused here, and none is accepted.
   */
  private shookHands(socket: ClientSocket, isComplete: boolean, error: Error | null): void {
    const client = socket.data;
    this.handshakes.delete(client);
    const { requestCert, rejectUnauthorized } = this.tlsOptions!;
    const certificate = requestCert && isComplete ? certificateOf(socket) : null;
    const mustBeGood = rejectUnauthorized || certificate !== null;
    if (!isComplete || (mustBeGood && !socket.authorized)) {
      this.engine.cells.set(Cell.tlsFailures, this.engine.cells.get(Cell.tlsFailures) + 1);
      const reason = (error as { code?: string } | null)?.code ?? error?.message ?? "the handshake failed";
      const fields = { addr: client.address, laddr: client.localAddress };
      this.logs.target("tls").debug(`Error accepting a client connection: ${reason}`, fields);
      socket.terminate();
      return;
    }
    if (certificate !== null) this.logIn(client, certificate.subject?.CN ?? "");
    if (!this.isForeign(socket)) return;
    socket.write(`-${ErrorText.protectedMode}\r\n`);
    this.services.rejected++;
    this.engine.cells.set(Cell.rejected, this.services.rejected);
    client.closeAfterReplies();
    socket.end();
  }

  /** Logs a client in as the user that its certificate names, if tls_auth_clients_user says so. */
  private logIn(client: Client, name: string): void {
    if (this.config.text("server.tls_auth_clients_user") !== "cn") return;
    const user = this.engine.users.find(name);
    if (user?.isEnabled === true) client.session.authenticateAs(user);
    else
      this.logs.target("tls").info(`a certificate names ${quoted(name)}, which is no user that is on`, {
        addr: client.address,
      });
  }

  /** Serves new TLS connections with these certificates. */
  renewTls(material: TlsMaterial): void {
    this.tls?.renew(material.options);
    this.noteCertificates(material);
  }

  private noteCertificates({ options, server, authority }: TlsMaterial): void {
    this.tlsOptions = options;
    this.services.certificates = { server, authority };
  }
  private tlsOptions: TlsListenOptions | null = null;

  /** The error that refuses this connection, "" = it is accepted. */
  private refusal(socket: { readonly remoteAddress: string }, door: Door): string {
    const { services } = this;
    if (this.image.isReading) return ErrorText.loading;
    if (!this.admission.hasPlace(services.connectedClients(), services.maxClients, isAdminDoor(door)))
      return ErrorText.maxClients;
    return (door === Door.Tcp || door === Door.Admin) && this.isForeign(socket) ? ErrorText.protectedMode : "";
  }

  /** True when protected mode refuses the connection. */
  private isForeign(socket: { readonly remoteAddress: string }): boolean {
    return (
      this.config.flag("server.protected_mode") &&
      this.engine.users.defaultUser.needsNoPassword &&
      !isLoopback(socket.remoteAddress)
    );
  }

  closed(client: Client): void {
    if (this.log.level <= DEBUG) this.log.debug("client closed", { client: client.session.id, addr: client.address });
    if (this.clients.delete(client.session.id)) this.services.countClients(-1);
    this.handshakes.delete(client);
    this.services.cancelBlock(client.session.id);
    if (client.session.monitors) this.services.stopMonitoring(client.session, client);
  }

  proceedLater(client: Client): void {
    this.engine.turn.proceedLater(client);
  }

  proceedAfterPause(client: Client): void {
    setTimeout(() => this.proceedLater(client), REST_MS);
  }

  memoryGrew(client: Client): void {
    if (!this.services.mustEvict(client) || this.evictionScheduled) return;
    this.evictionScheduled = true;
    soon(() => {
      this.evictionScheduled = false;
      this.guard(() => this.services.evictClients());
    });
  }
  private evictionScheduled = false;

  /** Loads the users of the ACL file, whose text the main thread has checked. */
  loadUsers(text: string): void {
    const { error } = this.engine.users.apply({ kind: "load", text, path: this.config.text("server.acl_file") });
    assert(error === "", "an ACL file that was checked can be loaded");
  }

  /** Has clients answered LOADING from now on. */
  noteLoading(): void {
    this.engine.noteLoading();
    postToMain({ kind: "idle" });
  }

  /** Loads an append-only file, in slices between turns of the event loop. */
  load(request: LoadRequest): void {
    this.guard(() => {
      const progress = LoadProgress.of(this.worker, this.services.persistence, this.engine.clock);
      const load = new AofLoad(this.engine, this, realFiles, request, this.worker, progress);
      load.run(
        (work) => this.guard(work),
        (result) => postToMain({ kind: "loaded", result }),
      );
    });
  }

  /** Loads this worker's part of an RDB file, likewise. */
  loadRdb(request: RdbLoadRequest): void {
    const answer = (result: RdbLoadResult) => postToMain({ kind: "loadedRdb", worker: this.worker, result });
    this.guard(() => {
      let load: RdbLoad;
      try {
        load = new RdbLoad(this.engine, this.services.persistence, realFiles, request, this.worker, this.facts.workers);
      } catch (thrown) {
        return answer(failedLoad(thrown));
      }
      load.run((work) => this.guard(work), answer);
    });
  }

  /** Empties all databases, as soon as all locks are free. */
  empty(): void {
    this.guard(() => this.services.persistence.emptyWhenFree(() => postToMain({ kind: "emptied" })));
  }

  /** The server ends: writes the RDB file, with no write of a client at work from here on. */
  saveLast(): void {
    const { services } = this;
    const save = () =>
      services.persistence.saveLast((failure) => {
        if (failure !== "") services.unpauseClients(() => {});
        postToMain({ kind: "saved", failure });
      });
    services.pauseClients(Pause.Writes, Number.MAX_SAFE_INTEGER, save);
  }

  /** Appends changes to the change log from now on. */
  appendTo(ring: string, logId: string, released: MessagePort): void {
    const log = new ChangeLog(this.arena.control, Bun.mmap(ring, { shared: true }));
    this.engine.effects.log = log;
    const wake = (other: number) => this.mailbox.wakeOne(other);
    this.engine.gate = new SyncGate(this.arena.control, log, logId, this.worker, this.facts.workers, wake);
    released.onmessage = () =>
      this.guard(() => {
        // A turn in any case: its end sets the mark again (AOFSHARE-4) when a reply still waits.
        this.engine.turn.touch();
        if (!log.waitsForSync) this.engine.turn.release(log.end);
        this.services.persistence.syncWaits.look();
      });
  }

  monitored(from: number, batch: MonitorBatch): void {
    this.guard(() => this.services.monitors.receive(from, batch));
  }

  answer({ ask, from: to, id }: Extract<ToWorker, { kind: "ask" }>): void {
    const done = (answer: Answer) => postToMain({ kind: "answer", worker: this.worker, to, id, answer });
    if (ask.kind !== "profile") return done(this.services.answer(ask));
    this.profiles.run(ask.request, (file) => done({ kind: "profile", file }));
  }

  settled(id: number, answers: Answer[]): void {
    this.services.settled(id, answers);
  }

  /** Sends the queued replies, stops listening, and closes all connections. `settles`: and leaves the data alone. */
  stop(settles: boolean): void {
    this.replica.stop();
    this.engine.turn.finish();
    if (this.config.flag("server.heap_profiling")) this.profiles.heap();
    this.doors.stop();
    this.tls?.stop();
    for (const client of this.clients.values()) client.transport.end();
    const stopped = () => postToMain({ kind: "stopped", worker: this.worker });
    setTimeout(() => (settles ? this.image.settle(this.clients, stopped) : stopped()), STOP_DELAY_MS);
  }
}

let worker: DataWorker | null = null;

/** Attaches to the shared memory and makes the worker. */
function start(message: Extract<ToWorker, { kind: "start" }>): void {
  nameThread(`worker-${message.worker}`);
  const control = Control.attach(message.control);
  const port = message.regionPort;
  const arena = new Arena(control, (region) => {
    // Announced through its own port, which is read here even in the middle of a command.
    for (let taken = receiveMessageOnPort(port); taken !== undefined; taken = receiveMessageOnPort(port)) {
      const announced = taken.message as RegionMessage;
      arena.attach(announced.region, announced.buffer);
      if (announced.region === region) return;
    }
  });
  for (const [region, buffer] of message.regions.entries()) arena.attach(region, buffer);
  const config = Config.fromSnapshot(message.config);
  worker = new DataWorker(message.worker, control, arena, config, message.facts, message);
  if (message.aclText !== null) worker.loadUsers(message.aclText);
  postToMain({ kind: "ready", worker: message.worker });
}

function listen(tls: TlsMaterial | null): void {
  try {
    worker!.listen(tls);
    postToMain({ kind: "listening", worker: workerNumber() });
  } catch (thrown) {
    const text = thrown instanceof Error ? thrown.message : String(thrown);
    postToMain({ kind: "failed", worker: workerNumber(), text });
  }
}

self.onmessage = (event: MessageEvent<ToWorker>) => {
  const message = event.data;
  worker?.wakeBackground();
  if (worker?.snapshots.receive(message) === true || worker?.services.replicas.receive(message) === true) return;
  if (worker?.replica.receive(message) === true || worker?.image.receive(message) === true) return;
  switch (message.kind) {
    case "start":
      start(message);
      return;
    case "listen":
      listen(message.tls);
      return;
    case "load":
      worker!.load(message.request);
      return;
    case "loadRdb":
      worker!.loadRdb(message.request);
      return;
    case "idle":
      worker!.noteLoading();
      return;
    case "empty":
      worker!.empty();
      return;
    case "saveLast":
      worker!.saveLast();
      return;
    case "log":
      worker!.appendTo(message.ring, message.logId, message.released);
      postToMain({ kind: "logging", worker: workerNumber() });
      return;
    case "ask":
      worker!.answer(message);
      return;
    case "heap":
      worker!.profiles.heap();
      return;
    case "renewTls":
      worker!.renewTls(message.material);
      return;
    case "answers":
      worker!.settled(message.id, message.answers);
      return;
    case "monitored":
      worker!.monitored(message.from, message.batch);
      return;
    case "monitorTaken":
      worker!.services.monitors.taken(message.bytes);
      return;
    case "stop":
      worker!.stop(message.settles);
  }
};

const workerNumber = (): number => worker?.["worker"] ?? -1;
