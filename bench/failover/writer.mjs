/**
 * An application with ioredis that writes without a pause:   node writer.mjs SENTINELS NAME PREFIX, or node writer.mjs direct ADDRESS PREFIX
 *
 * Every write is a new key, PREFIX:number, followed by WAIT 1. A line on standard output for each that was acknowledged: time in ms,
 * number, how many replicas have it; and "error TEXT" for another error than the one before. Ends at the end of its input.
 */
import Redis from "ioredis";

const [sentinels, name, prefix] = process.argv.slice(2);
const SOON_MS = 300;
const patience = { connectTimeout: SOON_MS, commandTimeout: 500, maxRetriesPerRequest: 0, retryStrategy: () => 20 };
const address = (text) => ({ host: text.split(":")[0], port: Number(text.split(":")[1]) });
const options =
  sentinels === "direct"
    ? address(name)
    : {
        sentinels: sentinels.split(",").map(address),
        name,
        failoverDetector: true,
        sentinelRetryStrategy: () => 20,
        sentinelCommandTimeout: SOON_MS,
      };
const client = new Redis({ ...patience, ...options });
client.on("error", () => {});
// Its own connections to Sentinels may be cut off in the middle of a command.
process.on("unhandledRejection", ({ message }) => console.log(`error unhandled: ${message}`));

let isOver = false;
let lastError = "";
process.stdin.on("end", () => {
  isOver = true;
});
process.stdin.resume();
for (let number = 0; !isOver; number++) {
  try {
    await client.set(`${prefix}:${number}`, number);
    const at = performance.timeOrigin + performance.now();
    const replicas = await client.wait(1, 200).catch(() => 0);
    console.log(`${at.toFixed(1)} ${number} ${replicas}`);
    lastError = "";
    await new Promise((done) => setTimeout(done, 1));
  } catch (error) {
    if (error.message !== lastError) console.log(`error ${error.message}`);
    lastError = error.message;
    await new Promise((done) => setTimeout(done, 5));
  }
}
process.exit(0);
