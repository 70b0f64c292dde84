/**
 * What programs do with bee-queue: node bee-queue.mjs <port>. Two queues with connections of their own work off jobs with
 * retries, delays and timeouts. Prints what came out, which is the same on every server.
 */
import Queue from "bee-queue";

const port = Number(process.argv[2]);
const say = (text, value) => console.log(`${text}: ${JSON.stringify(value)}`);
const JOBS = 300;
const settings = {
  redis: { port, host: "127.0.0.1" },
  activateDelayedJobs: true,
  delayedDebounce: 50,
  stallInterval: 500,
};

const producer = new Queue("bees", { ...settings, isWorker: false });
const workers = [new Queue("bees", settings), new Queue("bees", settings)];
await Promise.all([producer, ...workers].map((queue) => queue.ready()));

// A job fails once if its number ends in 3, and for good if it ends in 7.
const runs = new Array(JOBS).fill(0);
for (const queue of workers) {
  queue.on("error", (error) => say("error", error.message));
  queue.process(10, async (job) => {
    const { i } = job.data;
    runs[i]++;
    if (i % 100 === 0) job.reportProgress({ i });
    if (i % 10 === 7 || (i % 10 === 3 && runs[i] === 1)) throw new Error(`job ${i}`);
    return { square: i * i, text: job.data.text };
  });
}

// Events of the queue, not of the jobs: a job may come to its end before the producer hears that it has been saved.
const progress = [];
const outcomes = new Array(JOBS);
const ended = new Promise((done) => {
  let left = JOBS;
  const end = (id, outcome) => {
    outcomes[Number(id.slice(4))] = outcome;
    if (--left === 0) done();
  };
  producer.on("job succeeded", (id, { square, text }) => {
    const i = Number(id.slice(4));
    end(id, square === i * i && text === `text ${i} \0é` ? "succeeded" : [square, text]);
  });
  producer.on("job failed", (id, error) => end(id, error.message));
  producer.on("job progress", (_id, { i }) => progress.push(i));
});
const saves = [];
for (let i = 0; i < JOBS; i++) {
  const job = producer.createJob({ i, text: `text ${i} \0é` }).retries(2);
  job.backoff(i % 2 === 0 ? "immediate" : "fixed", 20).setId(`bee-${i}`);
  if (i % 6 === 1) job.delayUntil(Date.now() + 100 + i);
  if (i % 3 === 0) await job.save();
  else saves.push(job.save());
}
await Promise.all([ended, ...saves]);
say("succeeded", outcomes.filter((outcome) => outcome === "succeeded").length);
say(
  "others",
  outcomes.filter((outcome) => outcome !== "succeeded"),
);
say(
  "progress",
  progress.sort((a, b) => a - b),
);
const planned = (i) => (i % 10 === 7 ? 3 : i % 10 === 3 ? 2 : 1);
say(
  "runs that were not planned",
  runs.map((count, i) => [i, count]).filter(([i, count]) => count !== planned(i)),
);
const { newestJob, ...health } = await producer.checkHealth();
say("health", health);
const failed = await producer.getJobs("failed", { size: 1000 });
say("failed", failed.map(({ id, status, options }) => [id, status, options.retries]).sort());
const [again] = failed;
say("same id", (await producer.createJob({}).setId(again.id).save()).id);
await producer.removeJob(again.id);
say("removed", await producer.getJob(again.id));

// What a worker that died left behind goes back to the others.
const half = new Queue("half", { ...settings, isWorker: true });
const taken = new Promise((done) => half.process(() => new Promise(() => done())));
const job = await half.createJob({}).setId("stuck").save();
await taken;
await half.close(1).catch(() => {});
const whole = new Queue("half", settings);
const stalled = [];
whole.on("stalled", (id) => stalled.push(id));
const done = new Promise((resolve) => whole.on("job succeeded", (id, result) => resolve([id, result])));
whole.process(async () => "by another");
await whole.checkStalledJobs(100);
say("stuck job", await done);
say("stalled", stalled);
say("same job", job.id === "stuck");

for (const queue of [producer, whole]) await queue.destroy();
for (const queue of [producer, ...workers, whole]) await queue.close(100);
process.exit(0);
