/**
 * What a scrape costs while the server is busy: CPU time of the main thread for one, by the kernel's account, and how long the
 * event loops of the workers were late, in turn without scrapes and with ten a second.
 */
import { readFileSync } from "node:fs";
import { parseMetrics, type ScrapedMetric } from "../test/support/prometheus.ts";
import { freePort, startFerrite } from "../test/support/servers.ts";
import { Options, printHead, showSpread, spread, table } from "./machine.ts";

const options = new Options(
  {
    seconds: "of each measurement, default 5",
    rounds: "pairs of measurements, default 3",
    path: "what is asked for, default /metrics (or /facts.json)",
  },
  "bun bench/scrape.ts [options]: the cost of a scrape of a busy server",
);
const SECONDS = options.number("seconds", 5);
const ROUNDS = options.number("rounds", 3);
const PATH = options.text("path", "/metrics");
const EVERY_MS = 100;
/** Of the workers' delays, those beyond this are counted, s. */
const LATE = 0.01;

const port = await freePort();
const server = await startFerrite({ args: ["--set", "metrics.enabled=true", "--metrics-port", String(port)] });
const url = `http://127.0.0.1:${port}`;

/** CPU time of the main thread so far, ms. */
function mainThreadMs(): number {
  return Number(readFileSync(`/proc/${server.pid}/task/${server.pid}/schedstat`, "latin1").split(" ")[0]) / 1e6;
}

async function metrics(): Promise<Map<string, ScrapedMetric>> {
  return parseMetrics(await (await fetch(`${url}/metrics`)).text());
}

/** Delays of all workers' event loops, and those of them beyond LATE. */
function delays(scraped: Map<string, ScrapedMetric>): { all: number; late: number } {
  let all = 0;
  let onTime = 0;
  for (const { name, labels, value } of scraped.get("ferrite_event_loop_delay_seconds")!.samples) {
    if (name.endsWith("_count")) all += value;
    if (name.endsWith("_bucket") && Number(labels["le"]) === LATE) onTime += value;
  }
  return { all, late: all - onTime };
}

interface Measured {
  scrapes: number;
  mainMs: number;
  late: number;
  seconds: number;
}

async function during(isScraped: boolean): Promise<Measured> {
  const before = delays(await metrics());
  const [beganMs, beganCpu] = [performance.now(), mainThreadMs()];
  let scrapes = 0;
  while (performance.now() - beganMs < SECONDS * 1000) {
    if (isScraped) {
      await (await fetch(url + PATH)).arrayBuffer();
      scrapes++;
    }
    await Bun.sleep(EVERY_MS);
  }
  const mainMs = mainThreadMs() - beganCpu;
  const seconds = (performance.now() - beganMs) / 1000;
  const after = delays(await metrics());
  return { scrapes, mainMs, seconds, late: (after.late - before.late) / (after.all - before.all) };
}

printHead(`a scrape of ${PATH}, of a busy server`);
const seconds = String(Math.ceil((2 * ROUNDS + 1) * SECONDS * 2));
const arguments_ = ["-p", String(server.port), "-c", "50", "-P", "16", "-t", "set,get", "-r", "100000", "-l", "-q"];
const load = Bun.spawn(["timeout", seconds, "redis-benchmark", ...arguments_], { stdout: "ignore", stderr: "ignore" });
try {
  await Bun.sleep(2000);
  await during(true);
  const perScrape: number[] = [];
  const late: { without: number[]; scraped: number[] } = { without: [], scraped: [] };
  for (let round = 0; round < ROUNDS; round++) {
    const without = await during(false);
    const scraped = await during(true);
    const idleMs = (without.mainMs / without.seconds) * scraped.seconds;
    perScrape.push((scraped.mainMs - idleMs) / scraped.scrapes);
    late.without.push(without.late * 100);
    late.scraped.push(scraped.late * 100);
  }
  console.log(
    table([
      ["CPU of a scrape, ms", "delays > 10 ms without, %", "with ten scrapes a second, %"],
      [showSpread(spread(perScrape)), showSpread(spread(late.without)), showSpread(spread(late.scraped))],
    ]),
  );
} finally {
  load.kill();
  await load.exited;
  await server.stop();
}
