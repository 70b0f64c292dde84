/**
 * Whether memory stays constant under steady SETs: 60 s each of values of 64 B, 4 KB and 256 KB over sockets.
 *
 * Every phase overwrites a fixed set of keys (about 100 MB of data), so the data does not grow after the first pass. Only
 * garbage can grow: the engine's dead records, the runtime's heap and buffers. The table shows RSS beyond data and idle. Idle
 * is read once, before the first phase, so memory that the server keeps after a phase counts in the next.
 * `slope` is the least-squares line through the second half of the phase. Without a paced garbage collector a Bun worker
 * gained 900 MB here.
 */
import { writeFileSync } from "node:fs";
import { residentBytes, type Server, type ServerKind, startFerrite, startRedis } from "../test/support/servers.ts";
import { KEY_BYTES, load, randomSource } from "./loader.ts";
import { Options, printHead, table } from "./machine.ts";

const options = new Options(
  {
    seconds: "length of each phase, default 60",
    sizes: "value sizes, default 64,4096,262144",
    "data-mb": "bytes of data per phase in MB, default 100",
    workers: "workers of Ferrite, default 2",
    servers: "ferrite,redis: which; default both",
    "ferrite-args": "further arguments for ferrite, space-separated",
    quick: "8 seconds a phase",
    json: "file for the full result",
  },
  "bun bench/soak.ts [options]: RSS beyond the data under steady SETs",
);

const seconds = options.number("seconds", options.has("quick") ? 8 : 60);
const sizes = options.list("sizes", "64,4096,262144").map(Number);
const dataBytes = options.number("data-mb", 100) * 1e6;
const SAMPLES = 12;

interface Phase {
  server: ServerKind;
  valueBytes: number;
  dataBytes: number;
  sets: number;
  samples: { second: number; beyondBytes: number }[];
  slopeBytesPerMinute: number;
}

const headLines = printHead(`ferrite soak: ${seconds} s each of SETs of ${sizes.join(", ")} bytes`);
const phases: Phase[] = [];
for (const kind of options.list("servers", "ferrite,redis") as ServerKind[]) {
  const server =
    kind === "ferrite"
      ? await startFerrite({
          workers: options.number("workers", 2),
          args: options
            .text("ferrite-args", "")
            .split(" ")
            .filter((word) => word !== ""),
        })
      : await startRedis();
  try {
    await load({ port: server.port, count: 20_000, keyOf: () => 0 }); // the code is compiled before "idle" is read
    await Bun.sleep(1500);
    const idle = residentBytes(server.pid).anonymous;
    for (const size of sizes) {
      phases.push(await soak(server, size, idle));
      if (options.has("json"))
        writeFileSync(options.text("json", ""), JSON.stringify({ head: headLines, phases }, null, 1));
    }
  } finally {
    await server.stop();
  }
}
console.log(`\n${summary()}`);
process.exit(0);

async function soak(server: Server, valueBytes: number, idle: number): Promise<Phase> {
  const client = await server.connect();
  await client.command("FLUSHALL");
  client.close();
  const keys = Math.max(1, Math.floor(dataBytes / (valueBytes + KEY_BYTES)));
  const data = keys * (valueBytes + KEY_BYTES);
  const random = randomSource(valueBytes);
  const started = performance.now();
  const samples: Phase["samples"] = [];
  const sampler = setInterval(
    () => {
      const sample = {
        second: (performance.now() - started) / 1000,
        beyondBytes: residentBytes(server.pid).anonymous - idle - data,
      };
      samples.push(sample);
      console.log(
        `${server.kind} ${valueBytes} B, ${sample.second.toFixed(0)} s: ${mib(sample.beyondBytes)} MiB beyond the data`,
      );
    },
    (seconds * 1000) / SAMPLES,
  );
  let sets = 0;
  try {
    // First every key once, then random ones until the time is up.
    const end = started + seconds * 1000;
    const done = await load({
      port: server.port,
      count: Number.MAX_SAFE_INTEGER,
      valueBytes,
      keyOf: (i) => (i < keys ? i : Math.floor(random() * keys)),
      keepGoing: () => performance.now() < end,
    });
    sets = done.sent;
  } finally {
    clearInterval(sampler);
  }
  return {
    server: server.kind,
    valueBytes,
    dataBytes: data,
    sets,
    samples,
    slopeBytesPerMinute: slope(samples.slice(samples.length >> 1)) * 60,
  };
}

function slope(points: Phase["samples"]): number {
  const meanX = points.reduce((sum, p) => sum + p.second, 0) / points.length,
    meanY = points.reduce((sum, p) => sum + p.beyondBytes, 0) / points.length;
  const above = points.reduce((sum, p) => sum + (p.second - meanX) * (p.beyondBytes - meanY), 0);
  return above / points.reduce((sum, p) => sum + (p.second - meanX) ** 2, 0);
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

function summary(): string {
  const lines = [
    ["server", "value", "data MiB", "SETs", "beyond: first", "middle", "last", "largest", "slope MiB/min"],
  ];
  for (const p of phases) {
    const at = (i: number): string => mib(p.samples.at(i)?.beyondBytes ?? NaN);
    lines.push([
      p.server,
      `${p.valueBytes}`,
      mib(p.dataBytes),
      `${p.sets}`,
      at(0),
      at(p.samples.length >> 1),
      at(-1),
      mib(Math.max(...p.samples.map((s) => s.beyondBytes))),
      mib(p.slopeBytesPerMinute),
    ]);
  }
  return table(lines);
}
