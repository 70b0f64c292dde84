/**
 * Each feature of BullMQ once: node bullmq-features.mjs <port> ioredis|node-redis. Prints what happened, which is the same on
 * every server: jobs run one at a time where their order is shown, and nothing that depends on time is printed.
 */
import { DelayedError, FlowProducer, Queue, QueueEvents, Worker } from "bullmq";
import Redis from "ioredis";
import { createClient } from "redis";

const port = Number(process.argv[2]);
const driver = process.argv[3];

async function connection() {
  if (driver === "ioredis") return new Redis({ port, maxRetriesPerRequest: null });
  const client = createClient({ socket: { host: "127.0.0.1", port } });
  await client.connect();
  return client;
}
const shared = await connection();
const say = (text, value) => console.log(`${text}: ${JSON.stringify(value)}`);
const closing = [];

async function queueOf(name, options = {}) {
  const queue = new Queue(name, { connection: shared, ...options });
  const events = new QueueEvents(name, { connection: await connection() });
  await events.waitUntilReady();
  closing.push(queue, events);
  return { queue, events };
}
/** A worker that waits for `start`, so that what it does first is seen as well. */
async function workerOf(name, work, options = {}) {
  const worker = new Worker(name, work, { connection: await connection(), drainDelay: 1, autorun: false, ...options });
  await worker.waitUntilReady();
  closing.push(worker);
  return worker;
}
function start(worker) {
  worker.run().catch((error) => say("a worker ended", error.message));
  return worker;
}
/** Resolves when `worker` has brought `count` further jobs to their end. */
function ends(worker, count) {
  return new Promise((done) => {
    let left = count;
    const end = () => --left === 0 && done();
    worker.on("completed", end);
    worker.on("failed", end);
  });
}

// Order: jobs with priorities after those without, by priority and then as they were added; LIFO; pause and resume.
{
  const { queue } = await queueOf("order");
  await queue.pause();
  say("paused", await queue.isPaused());
  const jobs = Array.from({ length: 60 }, (_, i) => ({
    name: `n${i}`,
    data: { i },
    opts:
      i % 4 === 0 ? {} : { priority: 1 + ((i * 7) % 5), ...(i % 20 === 3 ? { priority: undefined, lifo: true } : {}) },
  }));
  await queue.addBulk(jobs);
  say("counts", await queue.getJobCounts());
  say("per priority", await queue.getCountsPerPriority([0, 1, 2, 3, 4, 5]));
  say(
    "first of the prioritized",
    (await queue.getPrioritized(0, 4)).map((job) => job.name),
  );
  const [moved] = await queue.getPrioritized(-1, -1);
  await moved.changePriority({ priority: 1 });
  const seen = [];
  const worker = await workerOf("order", async (job) => seen.push(job.name) && job.name);
  const all = ends(start(worker), 60);
  await queue.resume();
  await all;
  say("order", seen);
  say("completed", await queue.getCompletedCount());
  say("cleaned", (await queue.clean(0, 25, "completed")).length);
  say("left", await queue.getCompletedCount());
}

// Ends: results that somebody waits for, failures with their reasons, retries by hand, logs, progress, kept jobs.
{
  const { queue, events } = await queueOf("ends", { defaultJobOptions: { removeOnComplete: { count: 3 } } });
  let fails = true;
  const worker = await workerOf("ends", async (job) => {
    await job.log(`first line of ${job.name}`);
    await job.log("second line é");
    await job.updateProgress({ part: job.name });
    await job.updateData({ ...job.data, seen: true });
    if (job.name === "bad" && fails) throw new TypeError("no é");
    return [job.name, job.data];
  });
  start(worker);
  const good = await queue.add("good", { a: [1, { b: null }], clé: "\u0000\u00ff€" });
  say("result", await good.waitUntilFinished(events));
  const bad = await queue.add("bad", {}, { attempts: 2, backoff: 5 });
  say("failure", await bad.waitUntilFinished(events).catch((error) => error.message));
  const failed = await queue.getJob(bad.id);
  say("failed", [
    failed.attemptsMade,
    failed.failedReason,
    failed.stacktrace.length,
    failed.data,
    await failed.getState(),
  ]);
  say("logs", await queue.getJobLogs(bad.id));
  fails = false;
  const end = ends(worker, 1);
  await queue.retryJobs({ state: "failed" });
  await end;
  say("retried", [await failed.getState(), (await queue.getJob(bad.id)).returnvalue]);
  const more = ends(worker, 5);
  for (let i = 0; i < 5; i++) await queue.add(`more${i}`, { i });
  await more;
  say(
    "kept",
    (await queue.getCompleted()).map((job) => [job.name, job.progress, job.returnvalue]),
  );
}

// Delays: changed, promoted, and set by the job itself while it runs.
{
  const { queue } = await queueOf("delays");
  const late = await queue.add("late", {}, { delay: 1_000_000 });
  const sooner = await queue.add("sooner", {}, { delay: 2_000_000 });
  await sooner.changeDelay(20);
  say("delayed", (await queue.getDelayed()).map((job) => job.name).sort());
  const seen = [];
  const worker = await workerOf("delays", async (job, token) => {
    seen.push(job.name);
    if (job.name === "self" && job.data.step === undefined) {
      await job.updateData({ step: 1 });
      await job.moveToDelayed(Date.now() + 20, token);
      throw new DelayedError();
    }
  });
  await ends(start(worker), 1);
  const next = ends(worker, 2);
  await queue.add("self", {});
  await late.promote();
  await next;
  say("ran", [seen[0], seen.slice(1).sort()]);
}

// Parents wait for their children, which are in other queues.
{
  const { queue, events } = await queueOf("parents");
  await queueOf("children");
  const flow = new FlowProducer({ connection: shared });
  closing.push(flow);
  const children = await workerOf("children", async (job) => {
    if (job.data.n === 3) throw new Error("a bad child");
    return job.data.n * 10;
  });
  const parents = await workerOf("parents", async (job) => [
    Object.values(await job.getChildrenValues()).sort((a, b) => a - b),
    Object.values(await job.getIgnoredChildrenFailures()),
  ]);
  for (const worker of [children, parents]) start(worker);
  const tree = await flow.add({
    name: "top",
    queueName: "parents",
    children: [
      ...Array.from({ length: 5 }, (_, n) => ({
        name: `child${n}`,
        queueName: "children",
        data: { n },
        opts: { ignoreDependencyOnFailure: true },
      })),
      { name: "middle", queueName: "parents", children: [{ name: "leaf", queueName: "children", data: { n: 7 } }] },
    ],
  });
  say("parent", await tree.job.waitUntilFinished(events));
  const read = await flow.getFlow({ id: tree.job.id, queueName: "parents" });
  say("children", read.children.map(({ job }) => job.name).sort());
  const dependencies = await tree.job.getDependenciesCount();
  say("dependencies", dependencies);
  say("counts", await queue.getJobCounts());
}

// A scheduler makes a job after the other; one that is the same as another is not added.
{
  const { queue } = await queueOf("scheduled");
  const seen = [];
  const worker = await workerOf("scheduled", async (job) => seen.push([job.name, job.data]));
  const all = ends(start(worker), 4);
  await queue.upsertJobScheduler("often", { every: 30, limit: 4 }, { name: "tick", data: { of: "often" } });
  say(
    "schedulers",
    (await queue.getJobSchedulers()).map(({ key, every, limit }) => [key, every, limit]),
  );
  await all;
  say("ran", seen);
  say("removed", await queue.removeJobScheduler("often"));

  await queue.pause();
  const added = [];
  for (let i = 0; i < 4; i++)
    added.push(await queue.add("same", { i }, { deduplication: { id: "only", ttl: 100_000 } }));
  say("one job", new Set(added.map(({ id }) => id)).size === 1 && (await queue.count()) === 1);
  await queue.removeDeduplicationKey("only");
  await queue.add("same", { i: 9 }, { deduplication: { id: "only" } });
  await queue.add("named", {}, { jobId: "name" });
  await queue.add("named", {}, { jobId: "name" });
  say("waiting", await queue.count());
  await queue.drain();
  say("drained", await queue.count());
}

// Limits for all workers of a queue, and a queue that a worker holds up.
{
  const { queue } = await queueOf("limited");
  await queue.setGlobalConcurrency(2);
  await queue.addBulk(Array.from({ length: 20 }, (_, i) => ({ name: "job", data: { i } })));
  let running = 0;
  let most = 0;
  let held = false;
  const work = async (job) => {
    most = Math.max(most, ++running);
    await new Promise((done) => setTimeout(done, 5));
    running--;
    if (job.data.i === 10 && !held) {
      held = true;
      await queue.rateLimit(50);
      throw Worker.RateLimitError();
    }
  };
  const workers = [
    await workerOf("limited", work, { concurrency: 5 }),
    await workerOf("limited", work, { concurrency: 5 }),
  ];
  await new Promise((done) => {
    let left = 20;
    for (const worker of workers) start(worker).on("completed", () => --left === 0 && done());
  });
  say("at once at most", most);
  say("counts", await queue.getJobCounts());
  say("workers", (await queue.getWorkersCount()) >= 2);
}

// What a worker that died left behind is found and done by another one.
{
  const { queue, events } = await queueOf("stalled");
  const stalled = [];
  events.on("stalled", ({ jobId }) => stalled.push(jobId));
  const dying = await workerOf("stalled", () => new Promise(() => {}), {
    lockDuration: 200,
    skipLockRenewal: true,
    skipStalledCheck: true,
  });
  const isActive = new Promise((done) => dying.on("active", done));
  start(dying);
  const job = await queue.add("job", {}, { jobId: "lost" });
  await isActive;
  start(await workerOf("stalled", async () => "done by another", { stalledInterval: 100, lockDuration: 10_000 }));
  say("result", await job.waitUntilFinished(events));
  say("stalled", stalled);
  await dying.close(true);
}

for (const one of closing) if (!(one instanceof Queue)) await one.close();
for (const one of closing) if (one instanceof Queue) await one.obliterate({ force: true });
const plain = new Redis({ port });
say("keys left", (await plain.keys("*")).sort());
process.exit(0);
