/**
 * A worker's part in the server's being a replica: it notes the role, and ends the waits that the role makes void. Worker 0
 * has the link to the primary besides (replica-link.ts), and applies the stream (replica-apply.ts).
 */
import { resolve } from "node:path";
import type { Config } from "../base/config/config.ts";
import { errorCode, errorMessage, errorWords } from "../base/errors.ts";
import { realFiles } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import { soon } from "../base/soon.ts";
import { ErrorText } from "../protocol/errors.ts";
import { LinkFacts } from "../replication/link-facts.ts";
import type { ReplicationState } from "../replication/state.ts";
import type { Client } from "./client.ts";
import type { Engine } from "./engine.ts";
import type { ToMain, ToWorker } from "./messages.ts";
import { Crew, CrewSlot, helpersIn } from "./apply-crew.ts";
import { ApplyHelper } from "./apply-helper.ts";
import { type ApplyHost, ReplicaApply } from "./replica-apply.ts";
import { type LinkEvents, ReplicaLink, type LinkSocket } from "./replica-link.ts";
import type { Services } from "./services.ts";
import { readLinkTls, TlsRefused } from "./tls-files.ts";

/** The worker, as its part sees it. */
export interface ReplicaPartHost {
  readonly config: Config;
  readonly clients: Map<number, Client>;
  readonly services: Pick<Services, "countClients" | "endBlocks" | "pause">;
  readonly post: (message: ToMain) => void;
  /** Has another worker look whether it can help. */
  readonly mailbox: { wakeOne(worker: number): void };
  guard(work: () => void): void;
  nextId(): number;
  closed(client: Client): void;
}

export class ReplicaPart {
  private readonly link: ReplicaLink;
  private readonly apply: ReplicaApply;
  /** Null = this worker leads, or no worker helps it. */
  private readonly helper: ApplyHelper | null;

  constructor(
    private readonly engine: Engine,
    state: ReplicationState,
    /** Memory of the workers that apply together. */
    crewMemory: SharedArrayBuffer,
    log: Logger,
    private readonly host: ReplicaPartHost,
  ) {
    const { config, post } = host;
    const facts = new LinkFacts(engine.store.arena.control, state.linkAt);
    const later = (work: () => void): void => {
      soon(() => host.guard(work));
    };
    const replied = (error: string, command: string): void =>
      log.error(
        "replica_error",
        `== CRITICAL == This replica is sending an error to its master: '${error}' after processing the command '${command}'`,
      );
    const helpers = helpersIn(crewMemory);
    const leads = engine.worker === 0 && helpers > 0;
    const crew = leads ? new Crew(crewMemory, (worker) => host.mailbox.wakeOne(worker)) : null;
    const helps = engine.worker > 0 && engine.worker <= helpers;
    this.helper = helps ? new ApplyHelper(engine, new CrewSlot(crewMemory, engine.worker - 1), { replied }) : null;
    const applyHost = {
      proceedLater: () => {},
      closed: (client: Client) => host.closed(client),
      later,
      acknowledge: () => this.link.acknowledge(),
      failed: (reason: string) => this.link.failed(reason),
      killed: () => this.link.lost("its client was closed"),
      replied,
      throttle: (stops: boolean) => this.link.throttle(stops),
    } satisfies ApplyHost;
    this.apply = new ReplicaApply(engine, state, facts, applyHost, crew);
    this.link = new ReplicaLink(state, facts, this.apply, {
      config,
      clock: engine.clock,
      files: realFiles,
      log,
      directory: resolve(config.text("storage.data_dir")),
      databases: config.number("server.databases"),
      connect: (address, port, events) => this.connect(address, port, events),
      load: (file) => post({ kind: "synced", file }),
      handedOver: (epoch, refusal) => post({ kind: "failoverAnswered", epoch, refusal }),
      beginStream: (address) => this.beginStream(address),
      later,
    });
  }

  /** This worker was woken, maybe because the one that applies wants help. */
  woken(): void {
    const { helper } = this;
    this.engine.turn.touch();
    if (helper !== null) this.host.guard(() => helper.look());
  }

  /** Takes a message of the main thread. Returns false when it is about something else. */
  receive(message: ToWorker): boolean {
    const { host, link } = this;
    switch (message.kind) {
      case "role":
        host.guard(() => {
          this.engine.noteReplication();
          host.services.endBlocks(ErrorText.unblockedByRole);
        });
        host.post({ kind: "roleNoted", epoch: message.epoch });
        return true;
      case "follow":
        host.guard(() => this.follow(message));
        return true;
      case "unfollow":
        host.guard(() => link.unfollow(() => host.post({ kind: "unfollowed", epoch: message.epoch })));
        return true;
      case "failover":
        host.guard(() => host.services.pause.failOver(message.isBegun));
        if (message.isBegun) host.post({ kind: "failoverNoted" });
        return true;
      case "syncLoaded":
        host.guard(() => link.loaded(message.isDone));
        return true;
      default:
        return false;
    }
  }

  private follow({ host, port, epoch, hasHistory, handsOver }: Extract<ToWorker, { kind: "follow" }>): void {
    this.link.follow(host, port, epoch, hasHistory, handsOver);
  }

  /** The server ends: nothing more is applied. */
  stop(): void {
    this.link.unfollow(() => {});
  }

  /** The stream's commands are those of a client, which CLIENT LIST shows. */
  private beginStream(address: string): void {
    const { host } = this;
    const client = this.apply.begin(host.nextId(), address);
    host.clients.set(client.session.id, client);
    host.services.countClients(1);
  }

  private connect(hostname: string, port: number, events: LinkEvents): void {
    const { host } = this;
    let isClosed = false;
    const close = (reason: string): void => {
      if (isClosed) return;
      isClosed = true;
      host.guard(() => events.closed(reason));
    };
    const unsent: Unsent = { bytes: [] };
    const begin = (socket: LinkedSocket): void => {
      socket.setNoDelay(true);
      socket.setKeepAlive(true, host.config.number("server.tcp_keepalive") * 1000);
      host.guard(() => events.opened(linkSocketOf(socket, unsent)));
    };
    const tls = this.tlsOptions();
    if (typeof tls === "string") return void soon(() => close(tls));
    const localAddress = host.config.text("replication.repl_bind");
    const opened = Bun.connect({
      hostname,
      port,
      ...(localAddress === "" ? {} : { localAddress }),
      ...(tls === null ? {} : { tls }),
      socket: {
        open: (socket) => {
          if (tls === null) begin(socket);
        },
        handshake: (socket, isComplete, error) => {
          if (tls === null) return;
          // With a name that is another Bun 1.4.5 says that the handshake has failed, although it is complete.
          const fault = faultOf(error);
          const reason =
            isComplete || (error !== null && fault === "") ? fault : (error?.message ?? "the handshake failed");
          if (reason === "") return begin(socket);
          close(`TLS: ${reason}`);
          socket.terminate();
        },
        data: (_socket, bytes) => host.guard(() => events.data(bytes)),
        drain: (socket) => flush(socket, unsent),
        close: () => close(""),
        error: (_socket, error) => close(error.message),
        connectError: (_socket, error) => close(wordsOf(error)),
      },
    });
    opened.catch((thrown: unknown) => close(wordsOf(thrown)));
  }

  /** The options of a link over TLS; null = it is plain, a text = why there can be none. */
  private tlsOptions(): Bun.TLSOptions | null | string {
    const { config } = this.host;
    if (!config.flag("replication.primary_tls")) return null;
    try {
      const { cert, key, passphrase, ca } = readLinkTls(config, realFiles, (name) => config.get(name));
      const options: Bun.TLSOptions = { cert, key, rejectUnauthorized: false };
      if (passphrase !== undefined) options.passphrase = passphrase;
      if (ca !== undefined) options.ca = ca;
      return options;
    } catch (thrown) {
      if (thrown instanceof TlsRefused) return `TLS: ${thrown.message}`;
      throw thrown;
    }
  }
}

/** Why the certificate of the primary is not accepted; "" = it is. Replicas name addresses, which certificates seldom do. */
function faultOf(error: Error | null): string {
  if (error === null) return "";
  const { code = error.message } = error as { code?: string };
  return code === "ERR_TLS_CERT_ALTNAME_INVALID" ? "" : code;
}

interface LinkedSocket extends RawSocket {
  setNoDelay(on: boolean): void;
  setKeepAlive(on: boolean, delayMs: number): void;
}
/** Bytes that the system has not taken. */
interface Unsent {
  bytes: Buffer[];
}

/** Why no connection was made, in the system's words where it says: Bun's are "Failed to connect". */
function wordsOf(thrown: unknown): string {
  return errorWords(errorCode(thrown)) || errorMessage(thrown);
}

interface RawSocket {
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  terminate(): void;
}

/** A socket that keeps what the system does not take at once: what a replica says is short. */
function linkSocketOf(socket: RawSocket, unsent: Unsent): LinkSocket {
  return {
    write: (bytes) => {
      unsent.bytes.push(Buffer.from(bytes));
      flush(socket, unsent);
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    terminate: () => socket.terminate(),
  };
}

function flush(socket: RawSocket, unsent: Unsent): void {
  if (unsent.bytes.length === 0) return;
  const bytes = Buffer.concat(unsent.bytes);
  const sent = socket.write(bytes);
  unsent.bytes = sent >= bytes.length ? [] : [bytes.subarray(Math.max(0, sent))];
}
