/** Programs of test/clients/, which use a client library as an application does: node <program> <port> [arguments]. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT, type Server } from "./servers.ts";

/** Programs say how far they are in lines that begin so; these are not part of their output. */
const PROGRESS = "progress ";

export interface ProgramOptions {
  runtime?: string;
  args?: readonly string[];
  /** The program is ended after this time. */
  guardMs: number;
  /** Called with what follows "progress " in a line, as soon as the program prints it. */
  onProgress?: (text: string) => void;
}

/** Runs a program to its end. Returns its output without the lines of progress, or its errors too when it failed. */
export async function runProgram(server: Pick<Server, "port">, file: string, options: ProgramOptions): Promise<string> {
  const { runtime = "node", args = [], guardMs, onProgress = () => {} } = options;
  const child = Bun.spawn([runtime, join("test/clients", file), String(server.port), ...args], {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const guard = setTimeout(() => child.kill("SIGKILL"), guardMs);
  const errors = new Response(child.stderr).text();
  let out = "";
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of child.stdout) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      if (line.startsWith(PROGRESS)) onProgress(line.slice(PROGRESS.length));
      else out += `${line}\n`;
    }
  }
  clearTimeout(guard);
  const code = await child.exited;
  return code === 0 ? out + rest : `${out}${rest}\nended with ${child.signalCode ?? code}\n${await errors}`;
}

/** The first Python of PATH that has redis-py. Debian's package belongs to Debian's Python, which need not be the first. */
export function pythonWithRedis(): string | null {
  for (const folder of (process.env["PATH"] ?? "").split(":")) {
    const python = join(folder, "python3");
    if (folder === "" || !existsSync(python)) continue;
    if (Bun.spawnSync([python, "-c", "import redis"]).exitCode === 0) return python;
  }
  const message = "redis-py is missing: its test DID NOT RUN (install python3-redis)";
  if (process.env["CI"] === "true") throw new Error(message);
  console.error(`\n${"!".repeat(message.length)}\n${message}\n${"!".repeat(message.length)}\n`);
  return null;
}
