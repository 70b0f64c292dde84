/**
 * Server CPU per delivery of a published message, Ferrite against redis-server.   bun bench/pubsub.ts
 *
 * Method: both servers run at the same time and are driven in turn, A B B A. Subscribers of one channel are sockets of this
 * process, which only count bytes. A few publishers each send a pipeline of messages, and go on when every subscriber has
 * all of them: no server gains by putting messages of several rounds together. A sample's figure is the CPU time of the
 * server, user and system, per delivery; a pair is one neighbouring A and B, and the table shows the median of the ratios
 * Ferrite / Redis and their range.
 *
 * With several workers a message crosses to the worker of the subscriber. The kernel spreads connections over the workers.
 */
import type { Socket } from "bun";
import { encodeCommand, RespClient, show } from "../test/support/resp.ts";
import { type Server, startFerrite, startRedis } from "../test/support/servers.ts";
import { machineTimes, Options, printHead, processCpuUs, showSpread, spread, stealShare, table } from "./machine.ts";

const STEAL_MAX = 0.02;
/** Deliveries before a sample: the code is compiled by then. */
const WARM_UP = 300_000;
const ROUNDS_MIN = 20;
const CHANNEL = "bench:channel";

const options = new Options(
  {
    subscribers: "default 1,100,10000",
    pipelines: "messages of a publisher at a time, default 1,16",
    publishers: "default 50",
    bytes: "length of a message, default 64",
    deliveries: "least deliveries of a sample, default 300000",
    pairs: "default 6",
    workers: "workers of Ferrite, default 2",
    bound: "exit with 1 when a median is above this",
  },
  "bun bench/pubsub.ts [options]: server CPU per delivery",
);
const payload = "m".repeat(options.number("bytes", 64));
const publisherCount = options.number("publishers", 50);
const pairsWanted = options.number("pairs", 6);

/** The bytes of one message at a subscriber (RESP2). */
const messageBytes = encodeCommand(["message", CHANNEL, payload]).length;

/** The subscribers of one server. */
class Audience {
  private received = 0;
  private wanted = Infinity;
  private reached: () => void = () => {};
  private readonly sockets: Socket[] = [];

  static async of(server: Server, count: number): Promise<Audience> {
    const audience = new Audience();
    const confirmation = `*3\r\n$9\r\nsubscribe\r\n$${CHANNEL.length}\r\n${CHANNEL}\r\n:1\r\n`.length;
    // Some at a time, so that no connection is refused.
    for (let n = 0; n < count; n += 100) {
      const group = Math.min(100, count - n);
      const done = audience.until(group * confirmation);
      await Promise.all(
        Array.from({ length: group }, async () => {
          const socket = await Bun.connect({
            hostname: "127.0.0.1",
            port: server.port,
            socket: { data: (_, bytes) => audience.receive(bytes.length) },
          });
          audience.sockets.push(socket);
          socket.write(encodeCommand(["SUBSCRIBE", CHANNEL]));
        }),
      );
      await done;
    }
    return audience;
  }

  /** Waits until the subscribers have received `bytes` more. */
  until(bytes: number): Promise<void> {
    this.received = 0;
    this.wanted = bytes;
    return new Promise((resolve) => {
      this.reached = resolve;
    });
  }

  private receive(bytes: number): void {
    this.received += bytes;
    if (this.received >= this.wanted) this.reached();
  }

  /** Resets the connections, which leaves no ports in TIME_WAIT. */
  close(): void {
    for (const socket of this.sockets) socket.terminate();
  }
}

/** Waits until a server has no subscribers any more. */
async function gone(server: Server): Promise<void> {
  const client = await server.connect();
  while (show(await client.command("PUBLISH", CHANNEL, "")) !== ":0") await Bun.sleep(5);
  client.close();
}

/** Publishes until there were `deliveries`. Returns the CPU time of the server per delivery, us. */
async function sample(
  server: Server,
  audience: Audience,
  subscribers: number,
  pipeline: number,
  deliveries: number,
): Promise<number> {
  // No more than it takes for some rounds.
  const count = Math.max(1, Math.min(publisherCount, Math.floor(deliveries / (subscribers * pipeline * ROUNDS_MIN))));
  const publishers = await Promise.all(Array.from({ length: count }, () => RespClient.connect({ port: server.port })));
  const batch = Array.from({ length: pipeline }, () => ["PUBLISH", CHANNEL, payload]);
  const each = subscribers * pipeline * count;
  const rounds = Math.ceil(deliveries / each);
  const before = processCpuUs(server.pid);
  for (let n = 0; n < rounds; n++) {
    const all = audience.until(each * messageBytes);
    const replies = await Promise.all(publishers.map((publisher) => publisher.pipeline(batch)));
    for (const reply of replies.flat()) {
      if (show(reply) !== `:${subscribers}`) throw new Error(`${show(reply)} receivers of ${subscribers}`);
    }
    await all;
  }
  const cpu = processCpuUs(server.pid) - before;
  for (const publisher of publishers) publisher.close();
  return cpu / (rounds * each);
}

printHead("pubsub: server CPU per delivery");
const settings = { maxclients: "12000" };
const ferrite = await startFerrite({ workers: options.number("workers", 2), settings });
const redis = await startRedis({ settings });
const rows: string[][] = [["subscribers", "pipeline", "Ferrite us", "Redis us", "ratio: median (range)"]];
let worst = 0;
for (const subscribers of options.list("subscribers", "1,100,10000").map(Number)) {
  for (const pipeline of options.list("pipelines", "1,16").map(Number)) {
    const own: number[] = [];
    const their: number[] = [];
    for (let tries = 0; own.length < pairsWanted && tries < pairsWanted * 4; tries++) {
      const began = machineTimes();
      const pair = [0, 0];
      for (const which of tries % 2 === 0 ? [0, 1] : [1, 0]) {
        const server = which === 0 ? ferrite : redis;
        // Not both at the same time, because one process may not have that many sockets.
        const audience = await Audience.of(server, subscribers);
        await sample(server, audience, subscribers, pipeline, WARM_UP);
        pair[which] = await sample(server, audience, subscribers, pipeline, options.number("deliveries", 300_000));
        audience.close();
        await gone(server);
      }
      if (stealShare(began, machineTimes()) > STEAL_MAX) continue;
      own.push(pair[0]!);
      their.push(pair[1]!);
    }
    const ratios = spread(own.map((cpu, i) => cpu / their[i]!));
    worst = Math.max(worst, ratios.median);
    const us = (values: number[]): string => spread(values).median.toFixed(2);
    rows.push([String(subscribers), String(pipeline), us(own), us(their), showSpread(ratios)]);
  }
}
console.log(table(rows));
await ferrite.stop();
await redis.stop();
if (worst > options.number("bound", Infinity)) process.exit(1);
process.exit(0);
