/** What a running server tells for `ferrite diagnostics`. A question that it does not answer becomes a line of text. */
import { RedisClient } from "bun";
import type { Config } from "../base/config/config.ts";
import { readText, type Files } from "../base/files.ts";
import { urlOf } from "../top/link.ts";
import { type Redaction, slowLogText, withoutClientNames, withoutErrorWords } from "./redaction.ts";

export interface Login {
  readonly user: string;
  readonly password: string;
}

/** Takes the files of the archive. */
export type AddFile = (name: string, text: string) => void;

const ANSWER_MS = 10_000;
const SLOW_ENTRIES = 128;

/** Asks the server of this configuration. Throws an Error when it cannot be reached. */
export async function askServer(
  config: Config,
  files: Files,
  login: Login,
  redaction: Redaction,
  add: AddFile,
): Promise<void> {
  const client = connect(config, files, login);
  try {
    await withinTime(client.connect());
    const asker = new Asker(client, config);
    // First: the passwords that CONFIG SET has given the server are secrets in all other texts.
    add(
      "config-running.txt",
      await asker.text(["CONFIG", "GET", "*"], (reply) => redaction.parameters(pairsOf(reply))),
    );
    add("info.txt", await asker.text(["INFO", "everything"], (reply) => withoutErrorWords(String(reply))));
    add("clients.txt", await asker.text(["CLIENT", "LIST"], (reply) => withoutClientNames(String(reply))));
    add("slowlog.txt", await asker.text(["SLOWLOG", "GET", String(SLOW_ENTRIES)], slowLogText));
    add("latency.txt", await asker.texts(["LATENCY LATEST", "LATENCY DOCTOR", "LATENCY HISTOGRAM"]));
    add("memory.txt", await asker.texts(["MEMORY DOCTOR", "MEMORY STATS", "DBSIZE", "ROLE"]));
  } finally {
    client.close();
  }
}

function connect(config: Config, files: Files, { user, password }: Login): RedisClient {
  const plain = config.number("server.port");
  const host = config.bindHosts[0]?.host ?? "127.0.0.1";
  const target = {
    host: host === "0.0.0.0" || host === "*" ? "127.0.0.1" : host === "::" ? "::1" : host,
    port: plain === 0 ? config.tlsPort : plain,
    socket: config.text("server.unix_socket"),
    user,
    password,
    // Whether the certificate is good is for clients to say: this one asks its own server.
    tls: null,
  };
  const options = { autoReconnect: false, connectionTimeout: ANSWER_MS };
  if (target.socket !== "" || plain !== 0) return new RedisClient(urlOf(target), options);
  const secure = { ...target, tls: { ca: "", certificate: "", key: "", serverName: "", isInsecure: true } };
  const tls = {
    rejectUnauthorized: false,
    cert: readText(files, config.text("server.tls_cert_file")),
    key: readText(files, config.text("server.tls_key_file")),
    passphrase: config.text("server.tls_key_file_pass") || undefined,
  };
  return new RedisClient(urlOf(secure), { ...options, tls });
}

class Asker {
  private readonly renamed: ReadonlyMap<string, string>;

  constructor(
    private readonly client: RedisClient,
    config: Config,
  ) {
    const names = Object.entries(config.get("server.rename_commands") as Readonly<Record<string, string>>);
    this.renamed = new Map(names.map(([from, to]) => [from.toUpperCase(), to]));
  }

  async text(words: readonly string[], textOf: (reply: unknown) => string): Promise<string> {
    const [command = "", ...args] = words;
    try {
      return textOf(await withinTime(this.client.send(this.renamed.get(command) ?? command, args)));
    } catch (thrown) {
      return `not told: ${thrown instanceof Error ? thrown.message.trim() : String(thrown)}\n`;
    }
  }

  async texts(commands: readonly string[]): Promise<string> {
    let all = "";
    for (const command of commands) all += `# ${command}\n${await this.text(command.split(" "), plainText)}\n`;
    return all;
  }
}

function plainText(reply: unknown): string {
  return typeof reply === "string" ? `${reply}\n` : `${JSON.stringify(reply, null, 1)}\n`;
}

/** The reply of CONFIG GET: a map, or a flat list. */
function pairsOf(reply: unknown): (readonly [string, string])[] {
  if (!Array.isArray(reply)) return Object.entries(reply as Record<string, unknown>).map(([k, v]) => [k, String(v)]);
  return reply.flatMap((name, i) => (i % 2 === 0 ? [[String(name), String(reply[i + 1])] as const] : []));
}

async function withinTime<T>(work: Promise<T>): Promise<T> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("no answer")), ANSWER_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
