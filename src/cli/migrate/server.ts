/** A server of a migration: its connection, its facts, and its replies in words. */
import { type Address, addressText } from "./address.ts";
import { ErrorReply, Link, LinkFailed, type Reply, type Word } from "./link.ts";
import type { TlsFiles } from "./options.ts";

export type Role = "source" | "target";

/** A step cannot continue. `meaning` and `mend` are as in a finding. */
export class MigrationFailed extends Error {
  override readonly name = "MigrationFailed";

  constructor(
    readonly check: string,
    text: string,
    readonly meaning: string,
    readonly mend: string,
  ) {
    super(text);
  }
}

/** A server that replied an error to a command that must succeed. */
export class Refused extends MigrationFailed {
  constructor(
    server: string,
    command: string,
    readonly reply: string,
  ) {
    const code = reply.split(" ")[0]!;
    super(
      "rights",
      `${server} refused ${command}: ${reply}`,
      MEANINGS[code] ?? "The step needs this command.",
      mendOf(code),
    );
  }
}

const MEANINGS: Readonly<Record<string, string>> = {
  NOAUTH: "The server wants a password.",
  WRONGPASS: "The user or the password is wrong, or the user is off.",
  NOPERM: "The user has no right to this command.",
  LOADING: "The server is still loading its data.",
};

function mendOf(code: string): string {
  if (code === "NOAUTH" || code === "WRONGPASS")
    return "give user and password: redis://USER@HOST:PORT with MIGRATE_FROM_PASSWORD, MIGRATE_TO_PASSWORD or the options --from-password-file, --to-password-file";
  if (code === "NOPERM")
    return "log in as a user with this right, or grant it: ACL SETUSER ... ; docs/MIGRATION.md lists them";
  if (code === "LOADING") return "wait until it has loaded, and run the command again";
  return "docs/MIGRATION.md lists what the user needs";
}

/** The fields of INFO, or of a part of it. */
export type Info = ReadonlyMap<string, string>;

export class Server {
  private link: Link | null = null;

  constructor(
    readonly role: Role,
    readonly address: Address,
    private readonly tls: TlsFiles,
    /** Longest time for an answer, ms. */
    private readonly answerMs: number,
  ) {}

  /** "source 127.0.0.1:6379" */
  get title(): string {
    return `${this.role} ${addressText(this.address)}`;
  }

  /** Connects and logs in. Throws MigrationFailed. */
  async open(): Promise<void> {
    this.close();
    try {
      this.link = await Link.open(this.address, this.tls, this.answerMs);
    } catch (thrown) {
      throw this.unreachable(thrown);
    }
    const { user, password } = this.address;
    if (password !== "") {
      const words = user === "default" ? [password] : [user, password];
      const reply = await this.tryAsk("AUTH", ...words);
      // A password for a server that has none does no harm.
      if (reply instanceof ErrorReply && !reply.text.includes("without any password")) this.refuse("AUTH", reply);
    }
    const reply = await this.tryAsk("PING");
    if (reply instanceof ErrorReply && !reply.text.startsWith("NOPERM")) this.refuse("PING", reply);
    await this.tryAsk("CLIENT", "SETNAME", "ferrite-migrate");
  }

  /** Another connection to the same server. */
  async twin(): Promise<Server> {
    const other = new Server(this.role, this.address, this.tls, this.answerMs);
    await other.open();
    return other;
  }

  close(): void {
    this.link?.close();
    this.link = null;
  }

  /** The reply. Throws MigrationFailed for an error, and when the connection fails. */
  async ask(...words: readonly Word[]): Promise<Reply> {
    const reply = await this.tryAsk(...words);
    if (reply instanceof ErrorReply) this.refuse(nameOf(words), reply);
    return reply;
  }

  /** The reply, which may be an error. Throws MigrationFailed when the connection fails. */
  async tryAsk(...words: readonly Word[]): Promise<Reply> {
    return (await this.batch([words]))[0]!;
  }

  /** As tryAsk, for several commands. A broken connection is made anew for the next call. */
  async batch(commands: readonly (readonly Word[])[]): Promise<Reply[]> {
    if (this.link === null || this.link.isBroken) {
      this.link = null;
      await this.open();
    }
    try {
      return await this.link!.batch(commands);
    } catch (thrown) {
      throw this.unreachable(thrown);
    }
  }

  async info(section = ""): Promise<Info> {
    return parseInfo(text(await this.ask("INFO", ...(section === "" ? [] : [section]))));
  }

  /** A parameter; null when the server has none of that name, or does not tell. */
  async parameter(name: string): Promise<string | null> {
    const reply = await this.tryAsk("CONFIG", "GET", name);
    return Array.isArray(reply) && reply.length > 1 ? text(reply[1] as Reply) : null;
  }

  async setParameter(name: string, value: string): Promise<void> {
    await this.ask("CONFIG", "SET", name, value);
  }

  private refuse(command: string, reply: ErrorReply): never {
    throw new Refused(this.title, command, reply.text);
  }

  private unreachable(thrown: unknown): MigrationFailed {
    if (!(thrown instanceof LinkFailed)) throw thrown;
    return new MigrationFailed(
      this.role,
      `${this.title}: ${thrown.message}`,
      "The server cannot be reached.",
      `check that it runs, and that this machine reaches it: redis-cli -h ${this.address.host} -p ${this.address.port} PING`,
    );
  }
}

/** The name of a command for messages: never a value, which may be a password. */
function nameOf([command, ...rest]: readonly Word[]): string {
  if (command === "CONFIG" || command === "CLIENT" || command === "ACL" || command === "FUNCTION")
    return [command, ...rest.slice(0, command === "CONFIG" ? 2 : 1)].join(" ");
  return String(command);
}

export function text(reply: Reply): string {
  return Buffer.isBuffer(reply) ? reply.toString("utf8") : String(reply ?? "");
}

export function parseInfo(whole: string): Info {
  const fields = new Map<string, string>();
  for (const line of whole.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon > 0 && !line.startsWith("#")) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

export function numberOf(info: Info, field: string): number {
  return Number(info.get(field) ?? 0);
}

export interface Identity {
  /** "Ferrite", "Redis", "Valkey" or another name. */
  readonly product: string;
  readonly version: string;
  /** Version of its RDB format; 0 = not known. */
  readonly rdbVersion: number;
}

/** What a server is, by INFO server. */
export function identityOf(info: Info): Identity {
  const ferrite = info.get("ferrite_version");
  // Ferrite sends the format that its replica reads, and reads up to 12.
  if (ferrite !== undefined) return { product: "Ferrite", version: ferrite, rdbVersion: 12 };
  const valkey = info.get("valkey_version");
  if (valkey !== undefined) return { product: "Valkey", version: valkey, rdbVersion: atLeast(valkey, 9, 0) ? 80 : 11 };
  for (const [field, value] of info) {
    const other = /^(dragonfly|kvrocks|garnet|keydb|redict)_version$/.exec(field);
    if (other !== null) return { product: other[1]!, version: value, rdbVersion: 0 };
  }
  const version = info.get("redis_version") ?? "";
  return { product: "Redis", version, rdbVersion: rdbVersionOf(version) };
}

/** The first version of Redis with each version of the RDB format, newest first. */
const RDB_VERSIONS: readonly (readonly [number, number, number])[] = [
  [8, 10, 15],
  [8, 8, 14],
  [8, 6, 13],
  [7, 4, 12],
  [7, 2, 11],
  [7, 0, 10],
  [5, 0, 9],
  [4, 0, 8],
];

function rdbVersionOf(version: string): number {
  return RDB_VERSIONS.find(([major, minor]) => atLeast(version, major, minor))?.[2] ?? 0;
}

/** True when a version "7.0.15" is at least major.minor. */
export function atLeast(version: string, major: number, minor: number): boolean {
  const [own = 0, ownMinor = 0] = version.split(".").map(Number);
  return own > major || (own === major && ownMinor >= minor);
}

/** Keys by database, from INFO keyspace. */
export function keysByDatabase(info: Info): Map<number, number> {
  const keys = new Map<number, number>();
  for (const [field, value] of info) {
    const database = /^db(\d+)$/.exec(field);
    if (database !== null) keys.set(Number(database[1]), Number(/keys=(\d+)/.exec(value)?.[1] ?? 0));
  }
  return keys;
}
