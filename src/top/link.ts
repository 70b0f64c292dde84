/**
 * The connection to a server, over the client of the runtime (Bun.RedisClient), which speaks RESP3, TLS and Unix sockets. A look
 * asks for everything at once.
 */
import { RedisClient } from "bun";
import type { Clock } from "../base/clock.ts";
import { type Ask, parseClients, parseHistograms, parseHotKeys, parseInfo, parseSlow, type Sample } from "./sample.ts";

export interface Target {
  readonly host: string;
  readonly port: number;
  /** Path of a Unix socket, instead of host and port; "" = none. */
  readonly socket: string;
  readonly user: string;
  readonly password: string;
  /** null = no TLS. Texts in PEM form; "" = none. */
  readonly tls: { ca: string; certificate: string; key: string; serverName: string; isInsecure: boolean } | null;
}

/** The server cannot be reached, or refuses to tell. */
export class LinkFailed extends Error {
  override readonly name = "LinkFailed";
}

/** A server that has not answered for so long is said not to. */
const ANSWER_MS = 10_000;
const SLOW_ENTRIES = 64;
/** With more clients than this their list would cost the server too much. */
const CLIENTS_LISTED_MAX = 2000;

export function addressOf({ host, port, socket }: Target): string {
  if (socket !== "") return socket;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The URL that the client of the runtime takes. */
export function urlOf({ host, port, socket, user, password, tls }: Target): string {
  const login = password === "" ? "" : `${encodeURIComponent(user)}:${encodeURIComponent(password)}@`;
  if (socket !== "") return `redis+unix://${login}${socket}`;
  return `${tls === null ? "redis" : "rediss"}://${login}${host.includes(":") ? `[${host}]` : host}:${port}`;
}

export class Link {
  private constructor(
    private readonly client: RedisClient,
    private readonly clock: Clock,
  ) {}

  /** Throws LinkFailed. */
  static async open(target: Target, clock: Clock): Promise<Link> {
    const { tls } = target;
    const secure =
      tls === null
        ? undefined
        : {
            rejectUnauthorized: !tls.isInsecure,
            ...(tls.ca === "" ? {} : { ca: tls.ca }),
            ...(tls.certificate === "" ? {} : { cert: tls.certificate, key: tls.key }),
            ...(tls.serverName === "" ? {} : { serverName: tls.serverName }),
          };
    const options = { autoReconnect: false, connectionTimeout: ANSWER_MS };
    const client = new RedisClient(urlOf(target), secure === undefined ? options : { ...options, tls: secure });
    try {
      await withinTime(client.connect());
    } catch (thrown) {
      client.close();
      throw thrown instanceof LinkFailed ? thrown : new LinkFailed(`cannot connect: ${failure(thrown).message}`);
    }
    const link = new Link(client, clock);
    await link.askOr("CLIENT", ["SETNAME", "ferrite-top"], () => {});
    return link;
  }

  close(): void {
    this.client.close();
  }

  /** Looks at the server. `withClients`: also at its list of clients. Throws LinkFailed. */
  async look(withClients: boolean): Promise<Sample> {
    const missing = new Map<Ask, string>();
    const ask = (name: Ask, command: string, args: string[]) =>
      this.askOr(command, args, (reason) => missing.set(name, reason));
    const [infoText, histograms, slow, hotKeys] = await Promise.all([
      this.send("INFO", ["everything"]),
      ask("LATENCY HISTOGRAM", "LATENCY", ["HISTOGRAM"]),
      ask("SLOWLOG", "SLOWLOG", ["GET", String(SLOW_ENTRIES)]),
      ask("HOTKEYS", "HOTKEYS", ["GET"]),
    ]);
    const monotonicMs = this.clock.monotonicMs();
    const info = parseInfo(String(infoText));
    let clients: unknown = "";
    if (Number(info.get("connected_clients") ?? 0) > CLIENTS_LISTED_MAX)
      missing.set("CLIENT LIST", `not listed: more than ${CLIENTS_LISTED_MAX} clients`);
    else if (withClients) clients = await ask("CLIENT LIST", "CLIENT", ["LIST"]);
    return {
      monotonicMs,
      wallMs: this.clock.wallMs(),
      info,
      histograms: parseHistograms(histograms),
      slow: parseSlow(slow),
      clients: parseClients(String(clients ?? "")),
      hotKeys: parseHotKeys(hotKeys),
      missing,
    };
  }

  /** The reply, or null after `refused` was told what the server replied instead. */
  private async askOr(command: string, args: string[], refused: (reason: string) => void): Promise<unknown> {
    try {
      return await this.command(command, args);
    } catch (thrown) {
      if (!isReply(thrown)) throw failure(thrown);
      const text = (thrown as Error).message;
      refused(/unknown (sub)?command/i.test(text) ? `this server has no ${command}` : text.trim());
      return null;
    }
  }

  /** Sends a command. Returns its reply. Throws LinkFailed, also for an error reply. */
  async send(command: string, args: string[]): Promise<unknown> {
    try {
      return await this.command(command, args);
    } catch (thrown) {
      throw failure(thrown);
    }
  }

  private command(command: string, args: string[]): Promise<unknown> {
    return withinTime(this.client.send(command, args));
  }
}

/** True for an error that the server replied. */
function isReply(thrown: unknown): boolean {
  return (thrown as { code?: string } | null)?.code === "ERR_REDIS_SERVER_ERROR";
}

function failure(thrown: unknown): LinkFailed {
  return thrown instanceof LinkFailed
    ? thrown
    : new LinkFailed((thrown instanceof Error ? thrown.message : String(thrown)).trim());
}

async function withinTime<T>(work: Promise<T>): Promise<T> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LinkFailed("no answer")), ANSWER_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
