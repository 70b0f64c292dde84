/** What a worker's handlers may ask of the server: sums of the cells at once, everything else over the main thread. */
import { heapSize } from "bun:jsc";
import type { Config, ConfigChange } from "../base/config/config.ts";
import { systemClock } from "../base/clock.ts";
import type { ClientLine, KillFilter, ServerServices, ServerTotals } from "../commands/services.ts";
import type { Session } from "../commands/session.ts";
import type { Control } from "../memory/control.ts";
import { CLIENTS_AT } from "../memory/control.ts";
import type { Reply } from "../protocol/reply.ts";
import { Cell, Cells } from "./cells.ts";
import type { Client } from "./client.ts";
import type { Engine } from "./engine.ts";
import type { Answer, Ask, ProcessFacts, ToMain } from "./messages.ts";

declare const FERRITE_VERSION: string | undefined;
declare const FERRITE_COMMIT: string | undefined;

/** Seconds over which the rates of INFO are the mean. */
const RATE_MS = 1600;

export class Services implements ServerServices {
  engine!: Engine;
  rejected = 0;
  private readonly cells: Cells;
  private readonly pending = new Map<number, (answers: Answer[]) => void>();
  private nextAsk = 1;
  private rateAt = systemClock.monotonicMs();
  private rateCommands = 0;
  private rateInput = 0;
  private rateOutput = 0;
  private peak = 0;
  private readonly base: Partial<Record<keyof ServerTotals, number>> = {};

  readonly startedMs: number;
  readonly pid = process.pid;
  readonly workers: number;
  readonly version = typeof FERRITE_VERSION === "string" ? FERRITE_VERSION : "0.0.0";
  readonly commit = typeof FERRITE_COMMIT === "string" ? FERRITE_COMMIT : "dev";
  readonly runId: string;
  readonly configFile: string;
  readonly executable: string;

  constructor(
    private readonly worker: number,
    private readonly control: Control,
    facts: ProcessFacts,
    private readonly clients: Map<number, Client>,
    private readonly config: Config,
    private readonly tell: (message: ToMain) => void,
  ) {
    this.cells = new Cells(control, worker);
    this.startedMs = facts.startedMs;
    this.workers = facts.workers;
    this.runId = facts.runId;
    this.configFile = facts.configFile;
    this.executable = facts.executable;
  }

  countClients(change: number): void {
    Atomics.add(this.control.i32, CLIENTS_AT, change);
    this.cells.set(Cell.clients, this.clients.size);
  }
  connectedClients(): number {
    return Atomics.load(this.control.i32, CLIENTS_AT);
  }

  /** Rates and sizes that are not counted per turn. */
  tick(): void {
    const now = systemClock.monotonicMs();
    this.cells.set(Cell.heapBytes, heapSize());
    let buffers = 0;
    let blocked = 0;
    let maxInput = 0;
    let maxOutput = 0;
    for (const client of this.clients.values()) {
      buffers += client.queryBytes + client.outputBytes;
      if (client.waiting) blocked++;
      maxInput = Math.max(maxInput, client.queryBytes);
      maxOutput = Math.max(maxOutput, client.outputBytes);
    }
    this.cells.set(Cell.bufferBytes, buffers);
    this.cells.set(Cell.blocked, blocked);
    this.cells.set(Cell.maxInputBuffer, maxInput);
    this.cells.set(Cell.maxOutputBuffer, maxOutput);
    const elapsed = now - this.rateAt;
    if (elapsed < RATE_MS) return;
    const { engine } = this;
    const perSecond = 1000 / elapsed;
    this.cells.set(Cell.opsPerSecond, (engine.dispatcher.commandsRun - this.rateCommands) * perSecond);
    this.cells.set(Cell.inputPerSecond, (engine.inputBytes - this.rateInput) * perSecond);
    this.cells.set(Cell.outputPerSecond, (engine.outputBytes - this.rateOutput) * perSecond);
    this.rateAt = now;
    this.rateCommands = engine.dispatcher.commandsRun;
    this.rateInput = engine.inputBytes;
    this.rateOutput = engine.outputBytes;
  }

  totals(): ServerTotals {
    this.engine.endTurn();
    const { cells } = this;
    const since = (name: keyof ServerTotals, value: number) => value - (this.base[name] ?? 0);
    const usedMemory = this.engine.usedMemory() + cells.sum(Cell.heapBytes);
    this.peak = Math.max(this.peak, usedMemory);
    return {
      connectedClients: this.connectedClients(),
      totalConnections: since("totalConnections", cells.sum(Cell.connections)),
      rejectedConnections: since("rejectedConnections", cells.sum(Cell.rejected)),
      totalCommands: since("totalCommands", cells.sum(Cell.commands)),
      netInputBytes: since("netInputBytes", cells.sum(Cell.inputBytes)),
      netOutputBytes: since("netOutputBytes", cells.sum(Cell.outputBytes)),
      expiredKeys: since("expiredKeys", cells.sum(Cell.expired)),
      keyspaceHits: since("keyspaceHits", cells.sum(Cell.hits)),
      keyspaceMisses: since("keyspaceMisses", cells.sum(Cell.misses)),
      errorReplies: since("errorReplies", cells.sum(Cell.errors)),
      opsPerSecond: Math.round(cells.sum(Cell.opsPerSecond)),
      inputKbps: cells.sum(Cell.inputPerSecond) / 1024,
      outputKbps: cells.sum(Cell.outputPerSecond) / 1024,
      usedMemory,
      usedMemoryPeak: this.peak,
      blockedClients: cells.sum(Cell.blocked),
      maxInputBuffer: cells.max(Cell.maxInputBuffer),
      maxOutputBuffer: cells.max(Cell.maxOutputBuffer),
    };
  }

  resetTotals(): void {
    this.ask({ kind: "reset" }, () => {});
  }

  /** What was counted so far no longer counts. */
  private resetBase(): void {
    const names: (keyof ServerTotals)[] = [
      "totalConnections",
      "rejectedConnections",
      "totalCommands",
      "netInputBytes",
      "netOutputBytes",
      "expiredKeys",
      "keyspaceHits",
      "keyspaceMisses",
      "errorReplies",
    ];
    for (const name of names) this.base[name] = 0;
    const now = this.totals();
    for (const name of names) this.base[name] = now[name];
    this.peak = now.usedMemory;
  }

  describeClient(session: Session): string {
    const client = this.clients.get(session.id);
    return client === undefined ? "" : this.lineOf(client);
  }

  private lineOf(client: Client): string {
    const { session } = client;
    const now = systemClock.monotonicMs();
    const wall = systemClock.wallMs();
    const command =
      session.lastCommand < 0 ? "NULL" : this.engine.dispatcher.table.all[session.lastCommand]!.name.toLowerCase();
    return [
      `id=${session.id}`,
      `addr=${client.address}`,
      `laddr=${client.localAddress}`,
      `fd=${client.descriptor}`,
      `name=${session.name}`,
      `age=${Math.floor((wall - session.createdMs) / 1000)}`,
      `idle=${Math.floor((now - session.activeMs) / 1000)}`,
      `flags=${client.waiting ? "b" : session.noEvict ? "e" : "N"}`,
      `db=${session.db}`,
      "sub=0",
      "psub=0",
      "ssub=0",
      "multi=-1",
      `qbuf=${client.queryBytes}`,
      "qbuf-free=0",
      "argv-mem=0",
      "multi-mem=0",
      "rbs=0",
      "rbp=0",
      "obl=0",
      `oll=${client.outputBytes > 0 ? 1 : 0}`,
      `omem=${client.outputBytes}`,
      `tot-mem=${client.queryBytes + client.outputBytes}`,
      "events=r",
      `cmd=${session.commandName === "" ? command : session.commandName}`,
      "user=default",
      "redir=-1",
      `resp=${session.protocol}`,
      `lib-name=${session.libName}`,
      `lib-ver=${session.libVersion}`,
    ].join(" ");
  }

  listClients(done: (lines: ClientLine[]) => void): void {
    this.ask({ kind: "clients" }, (answers) => {
      const lines = answers.flatMap((answer) => (answer.kind === "clients" ? answer.lines : []));
      done(lines.sort((a, b) => a.id - b.id));
    });
  }

  killClients(filter: KillFilter, done: (killed: number) => void): void {
    this.ask({ kind: "kill", filter, asker: this.worker }, (answers) => {
      done(answers.reduce((sum, answer) => sum + (answer.kind === "count" ? answer.count : 0), 0));
    });
  }

  publishConfig(changes: readonly ConfigChange[], done: () => void): void {
    this.ask({ kind: "config", changes }, done);
  }

  shutdown(): void {
    this.tell({ kind: "shutdown" });
  }

  resume(session: Session, write: (reply: Reply) => void): void {
    const client = this.clients.get(session.id);
    if (client === undefined) return;
    this.engine.beginTurn();
    client.resume(write);
    this.engine.endTurn();
  }

  wantRegion(): void {
    if (this.engine.store.pool.wantsRegion()) this.tell({ kind: "region" });
  }

  private ask(ask: Ask, settled: (answers: Answer[]) => void): void {
    const id = this.nextAsk++;
    this.pending.set(id, settled);
    this.tell({ kind: "ask", worker: this.worker, id, ask });
  }

  settled(id: number, answers: Answer[]): void {
    const settle = this.pending.get(id);
    this.pending.delete(id);
    settle?.(answers);
  }

  /** Answers what some worker asked of all. */
  answer(ask: Ask): Answer {
    switch (ask.kind) {
      case "clients":
        return {
          kind: "clients",
          lines: [...this.clients.values()].map((client) => ({
            id: client.session.id,
            type: "normal",
            line: this.lineOf(client),
          })),
        };
      case "kill":
        return { kind: "count", count: this.kill(ask.filter) };
      case "config":
        this.config.apply(ask.changes);
        return { kind: "done" };
      case "reset":
        this.resetBase();
        return { kind: "done" };
    }
  }

  private kill(filter: KillFilter): number {
    let killed = 0;
    const wall = systemClock.wallMs();
    for (const client of [...this.clients.values()]) {
      const { session } = client;
      if (filter.id !== undefined && session.id !== filter.id) continue;
      if (filter.address !== undefined && client.address !== filter.address) continue;
      if (filter.localAddress !== undefined && client.localAddress !== filter.localAddress) continue;
      if (filter.type !== undefined && filter.type !== "normal") continue;
      if (filter.user !== undefined && filter.user !== "default") continue;
      if (filter.skip !== undefined && session.id === filter.skip) continue;
      if (filter.maxAgeSeconds !== undefined && wall - session.createdMs < filter.maxAgeSeconds * 1000) continue;
      killed++;
      client.kill();
    }
    return killed;
  }
}
