/**
 * Records what two looks at a server reply, for render.test.ts:      bun test/top/record.ts PORT FILE
 * The server is a fresh one, on a machine of nobody's, and is given some commands between the looks.
 */
import { RedisClient } from "bun";

export interface Recorded {
  readonly monotonicMs: number;
  readonly wallMs: number;
  readonly info: string;
  readonly histograms: unknown;
  readonly slow: unknown;
  readonly clients: string;
  readonly hotKeys: unknown;
}

async function look(client: RedisClient): Promise<Recorded> {
  const ask = (command: string, ...args: string[]): Promise<unknown> => client.send(command, args).catch(() => null);
  return {
    info: String(await ask("INFO", "everything")),
    histograms: await ask("LATENCY", "HISTOGRAM"),
    slow: await ask("SLOWLOG", "GET", "8"),
    clients: String(await ask("CLIENT", "LIST")),
    hotKeys: await ask("HOTKEYS", "GET"),
    monotonicMs: performance.now(),
    wallMs: Date.now(),
  };
}

async function someCommands(client: RedisClient): Promise<void> {
  const all: Promise<unknown>[] = [];
  for (let i = 0; i < 2000; i++) {
    all.push(client.send("SET", [`key:${i % 50}`, "v"]), client.send("GET", [`key:${i % 100}`]));
    if (i % 10 === 0)
      all.push(
        client.send("LPUSH", ["list", "x"]),
        client.send("LPUSH", ["key:1", "x"]).catch(() => null),
      );
  }
  await Promise.all(all);
}

if (import.meta.main) {
  const [port, file] = Bun.argv.slice(2);
  const client = new RedisClient(`redis://127.0.0.1:${port}`);
  await client.send("CONFIG", ["SET", "slowlog-log-slower-than", "300"]);
  await client.send("HOTKEYS", ["START", "METRICS", "2", "CPU", "NET"]).catch(() => null);
  await client.send("SET", ["\u001b[31mred\r\n\u202e\u0007", "v"]);
  await client.send("SET", ["漢字-キー", "v"]);
  await someCommands(client);
  const before = await look(client);
  await Bun.sleep(400);
  await someCommands(client);
  await client.send("EVAL", ["for i = 1, 400000 do end return 1", "0"]);
  const now = await look(client);
  await Bun.write(file!, `${JSON.stringify({ before, now }, null, 1)}\n`);
  client.close();
}
