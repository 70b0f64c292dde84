/**
 * A queue of BullMQ under load: node bullmq.mjs <port> <jobs> [restarts [windows [gates]]]. Two workers on connections of their own work off jobs
 * with delays, retries, priorities and a rate limit while the producer still adds some. No hash tags: the keys of the queue
 * are in many shards. Prints "progress N" as jobs come to their end, and then what was done and how often.
 *
 * `gates`, "300=FILE,500=FILE": the jobs from this number on are added when the file is there.
 *
 * Without `restarts` each job must run exactly as often as planned. With it the server may be killed meanwhile; then BullMQ
 * promises "at least once", and a job may run again if it was active at a kill, or if BullMQ itself called it stalled.
 */
import { existsSync } from "node:fs";
import { Queue, QueueEvents, Worker } from "bullmq";
import Redis from "ioredis";

const port = Number(process.argv[2]);
const jobs = Number(process.argv[3]);
const restarts = process.argv[4] === "restarts";
const NAME = "load";
const CHUNK = 100;
const CONCURRENCY = 20;
/** Windows of the rate limit that all jobs need at least; retries take more. */
const WINDOWS = Number(process.argv[5] ?? 6);
const gates = (process.argv[6] ?? "")
  .split(",")
  .map((gate) => ({ job: Number(gate.split("=")[0] || -1), file: gate.split("=")[1] ?? "" }));
const limiter = { max: Math.ceil(jobs / WINDOWS), duration: 400 };

const clients = [];
function connection() {
  const client = new Redis({ port, maxRetriesPerRequest: null, retryStrategy: () => 50 });
  client.on("error", () => {}); // a server that is being restarted
  clients.push(client);
  return client;
}

/** What is planned for job `i`, how many of its runs fail, and whether it fails for good. */
function plan(i) {
  const isHopeless = i % 50 === 7;
  const isRetried = i % 5 === 2;
  return {
    isHopeless,
    failures: isHopeless ? 2 : isRetried ? 1 + (i % 2) : 0,
    delay: i % 4 === 1 ? (i * 37) % 1500 : 0,
    options: {
      jobId: `job-${i}`,
      attempts: isHopeless ? 2 : isRetried ? 3 : 1,
      ...(i % 4 === 1 ? { delay: (i * 37) % 1500 } : {}),
      ...(i % 3 === 0 ? { priority: 1 + (i % 7) } : {}),
      backoff: { type: i % 2 === 0 ? "fixed" : "exponential", delay: 30 },
    },
  };
}

/** By job: how often it ran, and which ones may have run again. */
const runs = new Array(jobs).fill(0);
const active = new Set();
const mayRunAgain = new Set();
const faults = [];
let errors = 0;

function fault(text) {
  if (faults.length < 20) faults.push(text);
}

async function work(job) {
  const { i, text } = job.data;
  const { failures, delay, isHopeless } = plan(i);
  runs[i]++;
  active.add(job.id);
  try {
    if (text !== `text ${i} \0é`) fault(`job ${i} has the data ${JSON.stringify(job.data)}`);
    if (Date.now() < job.timestamp + delay) fault(`job ${i} ran before its time`);
    if (i % 10 === 0) await job.updateProgress(i % 100);
    await new Promise((done) => setTimeout(done, i % 3));
    if (isHopeless || job.attemptsMade < failures) throw new Error(`failure ${job.attemptsMade + 1}`);
    return { twice: 2 * i };
  } finally {
    // A run whose end was sent and not acknowledged is still active for the server.
    setTimeout(() => active.delete(job.id), restarts ? 200 : 0);
  }
}

const queue = new Queue(NAME, {
  connection: connection(),
  streams: { events: { maxLen: 100 * jobs } },
});
queue.on("error", () => {});
const events = new QueueEvents(NAME, { connection: connection(), lastEventId: "0" });
events.on("error", () => {});
const workers = [0, 1].map((number) => {
  const client = connection();
  client.on("close", () => {
    for (const id of active) mayRunAgain.add(id);
  });
  const worker = new Worker(NAME, work, {
    connection: client,
    name: `worker-${number}`,
    concurrency: CONCURRENCY,
    limiter,
    drainDelay: 1,
    runRetryDelay: 100,
    maxStalledCount: 5,
    ...(restarts ? { lockDuration: 8000, stalledInterval: 1000 } : {}),
  });
  worker.on("error", (error) => {
    errors++;
    if (!restarts) fault(`a worker had an error: ${error.message}`);
  });
  return worker;
});

/** Ends by job, as the events say: a stream, which the scripts of BullMQ write. */
const ends = new Map();
let ended = 0;
let wake = () => {};
function end(id, outcome) {
  const before = ends.get(id);
  if (before !== undefined) return fault(`${id} is ${outcome}, after it was ${before}`);
  ends.set(id, outcome);
  ended++;
  if (ended % Math.max(1, Math.floor(jobs / 20)) === 0) console.log(`progress ${ended}`);
  wake();
}
events.on("completed", ({ jobId }) => end(jobId, "completed"));
events.on("failed", ({ jobId }) => end(jobId, "failed"));
events.on("stalled", ({ jobId }) => mayRunAgain.add(jobId));

async function until(condition) {
  while (!condition())
    await new Promise((done) => {
      wake = done;
    });
}

/** What a kill cut off is tried again: a job that is there already is not added twice, because jobs have names. */
async function addAll(first, last) {
  const chunk = [];
  for (let i = first; i < last; i++)
    chunk.push({ name: "job", data: { i, text: `text ${i} \0é` }, opts: plan(i).options });
  for (;;) {
    try {
      return await queue.addBulk(chunk);
    } catch (error) {
      if (!restarts) throw error;
    }
  }
}

for (let first = 0; first < jobs; first += CHUNK) {
  await until(() => ended >= first - jobs / 2);
  const gate = gates.find(({ job }) => job === first);
  while (gate !== undefined && !existsSync(gate.file)) await new Promise((done) => setTimeout(done, 10));
  await addAll(first, Math.min(jobs, first + CHUNK));
}
await until(() => ended >= jobs);

// The workers return what they still hold, so that nothing is active.
await Promise.all(workers.map((worker) => worker.close()));

let repeated = 0;
let first = Number.POSITIVE_INFINITY;
let last = 0;
for (let start = 0; start < jobs; start += CHUNK) {
  const indexes = Array.from({ length: Math.min(CHUNK, jobs - start) }, (_, k) => start + k);
  const states = await Promise.all(
    indexes.map(async (i) => [await queue.getJob(`job-${i}`), await queue.getJobState(`job-${i}`)]),
  );
  for (const [k, [job, state]] of states.entries()) {
    const i = start + k;
    const { isHopeless, failures } = plan(i);
    const expected = isHopeless ? "failed" : "completed";
    const planned = isHopeless ? 2 : failures + 1;
    if (state !== expected || ends.get(job.id) !== expected)
      fault(`job ${i} is ${state}, its event: ${ends.get(job.id)}`);
    if (!isHopeless && job.returnvalue?.twice !== 2 * i) fault(`job ${i} returned ${JSON.stringify(job.returnvalue)}`);
    if (isHopeless && job.failedReason !== "failure 2") fault(`job ${i} failed for ${job.failedReason}`);
    if (job.attemptsMade !== planned) fault(`job ${i} made ${job.attemptsMade} attempts of ${planned}`);
    if (job.stacktrace.length !== failures) fault(`job ${i} kept ${job.stacktrace.length} traces of ${failures}`);
    if (i % 10 === 0 && job.progress !== i % 100) fault(`job ${i} has the progress ${job.progress}`);
    if (runs[i] < planned) fault(`job ${i} ran ${runs[i]} times of ${planned}`);
    if (runs[i] > planned) {
      repeated++;
      if (!restarts || !mayRunAgain.has(job.id)) fault(`job ${i} ran ${runs[i]} times instead of ${planned}`);
    }
    first = Math.min(first, job.processedOn);
    last = Math.max(last, job.finishedOn);
  }
}
// The first start of a window is the server's; the times here were taken before the first and after the last one.
if (last - first < (WINDOWS - 1) * limiter.duration - 5) fault(`the rate limit let all pass within ${last - first} ms`);

console.log(`counts: ${JSON.stringify(await queue.getJobCounts())}`);
console.log(`faults: ${JSON.stringify(faults)}`);
await queue.removeRateLimitKey(); // it would stay for the rest of its window
await queue.obliterate({ force: true });
console.log(`keys left: ${JSON.stringify(await clients[0].keys("*"))}`);
console.error(
  `${repeated} jobs ran again, ${mayRunAgain.size} might have; ${errors} errors of workers; ${last - first} ms`,
);
process.exit(0);
