/**
 * The main thread's control of FAILOVER: a primary hands its role to a replica that has everything, and becomes its replica.
 *
 *   begin ─► no worker writes ─► WaitingForSync: a replica acknowledges the stream's end ─► InProgress: PSYNC ... FAILOVER
 *                                     │ TIMEOUT: with FORCE on, else aborted                  │
 *                                     └── ABORT ─► writes are accepted                        ├─ refused, ABORT ─► a primary again
 *                                                                                             └─ accepted ─► a replica
 *
 * Clients' writes are suspended from the beginning to the end, by a pause of its own (client-pause.ts). They then run, on a
 * primary, or are refused as on any replica: none is lost, and none is acknowledged that the new primary lacks.
 *
 * A target that cannot be reached is tried once a second, until somebody aborts.
 */
import type { Clock } from "../base/clock.ts";
import type { Config, ConfigChange } from "../base/config/config.ts";
import type { Logger } from "../base/log.ts";
import type { HandOverAsk } from "../dispatch/services.ts";
import { Phase, type ReplicaSlots } from "../replication/slots.ts";
import { Failover, FAILOVER_NAMES, type ReplicationState } from "../replication/state.ts";
import type { ToMain, ToWorker } from "./messages.ts";
import { GETACK } from "./primary-feed.ts";

/** How often it is looked whether the target has everything, ms. */
const LOOK_MS = 5;
const HOST = "replication.primary_host";
const PORT = "replication.primary_port";

export interface FailoverHost {
  readonly workers: number;
  send(worker: number, message: ToWorker): void;
  /** Changes the configuration in all threads. */
  changeConfig(changes: readonly ConfigChange[]): void;
  /** The link with that number is the present one. */
  isPresent(epoch: number): boolean;
}

/** What FAILOVER was asked for. */
type Wish = Extract<HandOverAsk, { kind: "begin" }>;

export class FailoverControl {
  private wish: Wish | null = null;
  /** Monotonic ms, Infinity = without a limit. */
  private untilMs = Infinity;
  private waitsForWorkers = 0;
  private timer: Timer | null = null;
  /** Called when this server is a primary again. */
  private readonly promotions: (() => void)[] = [];

  constructor(
    private readonly config: Config,
    private readonly log: Logger,
    private readonly clock: Clock,
    private readonly state: ReplicationState,
    private readonly slots: ReplicaSlots,
    private readonly host: FailoverHost,
  ) {}

  /** Returns the error to reply, "" = it is begun or done. */
  ask(ask: HandOverAsk): Promise<string> {
    if (ask.kind === "take") return this.take(ask.replId, ask.by);
    if (ask.kind === "begin") return this.begin(ask);
    if (this.state.failover === Failover.None) return Promise.resolve("ERR No failover in progress.");
    return this.abort("Failover manually aborted").then(() => "");
  }

  /** Takes a message of a worker. Returns false when it is about something else. */
  receive(message: ToMain): boolean {
    switch (message.kind) {
      case "failoverNoted":
        if (--this.waitsForWorkers === 0) this.writesRest();
        return true;
      case "failoverAnswered":
        if (this.state.failover === Failover.InProgress && this.host.isPresent(message.epoch))
          this.answered(message.refusal);
        return true;
      default:
        return false;
    }
  }

  /** The server is a primary again. */
  promoted(): void {
    for (const then of this.promotions.splice(0)) then();
  }

  // ---- handing over ----

  /** Resolves once no worker writes any more: after the reply every write is suspended. */
  private begin(wish: Wish): Promise<string> {
    const refusal = this.refusal(wish);
    if (refusal !== "") return Promise.resolve(refusal);
    this.wish = wish;
    this.untilMs = wish.timeoutMs === 0 ? Infinity : this.clock.monotonicMs() + wish.timeoutMs;
    this.state.failover = Failover.WaitingForSync;
    this.log.info(`FAILOVER requested to ${wish.host === "" ? "any replica" : `${wish.host}:${wish.port}`}.`);
    this.waitsForWorkers += this.host.workers;
    this.tellAll(true);
    return new Promise((resolve) => this.begun.push(() => resolve("")));
  }
  private readonly begun: (() => void)[] = [];

  /** Why the role cannot be handed over; "" = it can. */
  private refusal({ host, port, timeoutMs, isForced }: Wish): string {
    const { state, slots } = this;
    if (state.failover !== Failover.None) return "ERR FAILOVER already in progress.";
    if (state.isReplica) return "ERR FAILOVER is not valid when server is a replica.";
    if (slots.all().length === 0) return "ERR FAILOVER requires connected replicas.";
    if (isForced && (timeoutMs === 0 || host === ""))
      return "ERR FAILOVER with force option requires both a timeout and target HOST and IP.";
    if (host === "") return "";
    const slot = this.find(host, port);
    if (slot < 0) return "ERR FAILOVER target HOST and PORT is not a replica.";
    return slots.phase(slot) === Phase.Online ? "" : "ERR FAILOVER target replica is not online.";
  }

  private find(host: string, port: number): number {
    const { slots } = this;
    return slots.all().find((slot) => slots.port(slot) === port && slots.host(slot) === host) ?? -1;
  }

  private tellAll(isBegun: boolean): void {
    for (let worker = 0; worker < this.host.workers; worker++) this.host.send(worker, { kind: "failover", isBegun });
  }

  /** No worker writes any more. The replicas are asked what they have: else they say it once a second. */
  private writesRest(): void {
    for (const done of this.begun.splice(0)) done();
    if (this.state.failover !== Failover.WaitingForSync) return;
    this.state.stream.appendOwn(GETACK);
    for (let worker = 0; worker < this.host.workers; worker++) this.host.send(worker, { kind: "feedReplicas" });
    this.timer = setInterval(() => this.look(), LOOK_MS);
  }

  private stopLooking(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  /** Looks whether the target has everything, or the time is over. */
  private look(): void {
    const { slots, state, wish } = this;
    if (wish === null || state.failover !== Failover.WaitingForSync) return this.stopLooking();
    if (state.isReplica) return void this.abort("this server has become a replica");
    if (this.clock.monotonicMs() >= this.untilMs) {
      if (!wish.isForced) return void this.abort("Replica never caught up before timeout");
      this.log.warn(`Failover to ${wish.host}:${wish.port} time out exceeded, failing over.`);
      return this.handOverTo(wish.host, wish.port);
    }
    const { end } = state.stream;
    const hasAll = (slot: number): boolean => slots.phase(slot) === Phase.Online && slots.acknowledged(slot) === end;
    const slot = wish.host === "" ? slots.all().find(hasAll) : this.find(wish.host, wish.port);
    if (slot === undefined || slot < 0 || !hasAll(slot)) return;
    const [host, port] = [slots.host(slot), slots.port(slot)];
    this.log.info(`Failover target ${host}:${port} is synced, failing over.`);
    this.handOverTo(host, port);
  }

  private handOverTo(host: string, port: number): void {
    this.stopLooking();
    // First: the link that follows says so to the target.
    this.state.failover = Failover.InProgress;
    this.wish = { ...this.wish!, host, port };
    this.follow(host, port);
  }

  /** Has the server follow that primary, or none. */
  private follow(host: string, port: number): void {
    const { config } = this;
    this.host.changeConfig([
      { name: HOST, value: host, previous: config.text(HOST) },
      { name: PORT, value: port, previous: config.number(PORT) },
    ]);
  }

  private answered(refusal: string): void {
    if (refusal === "") {
      this.log.info("Failover: the target is the primary now");
      return this.clear();
    }
    this.log.warn(`Failover target has answered: ${refusal}`);
    void this.abort("Failover target rejected psync request");
  }

  /** The server stays a primary, or is one again. */
  private async abort(why: string): Promise<void> {
    const { log, state, wish } = this;
    const to = wish === null || wish.host === "" ? "" : ` to ${wish.host}:${wish.port}`;
    log.info(`Aborting failover${to} while in state ${FAILOVER_NAMES[state.failover]} due to: ${why}`);
    this.stopLooking();
    if (state.failover === Failover.InProgress) await this.promote();
    this.clear();
  }

  private clear(): void {
    this.wish = null;
    this.state.failover = Failover.None;
    this.tellAll(false);
  }

  private promote(): Promise<void> {
    return new Promise((done) => {
      this.promotions.push(done);
      this.follow("", this.config.number(PORT));
    });
  }

  // ---- taking over ----

  /** The primary hands its role to this server. */
  private async take(replId: string, by: string): Promise<string> {
    const { log, state } = this;
    log.warn(`Failover request received for replid ${replId}.`);
    if (!state.isReplica) return "ERR PSYNC FAILOVER can't be sent to a master.";
    if (replId.toLowerCase() !== state.id) return "ERR PSYNC FAILOVER replid must match my replid.";
    await this.promote();
    log.info(`MASTER MODE enabled (failover request from '${by}')`);
    return "";
  }
}
