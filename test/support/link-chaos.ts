/**
 * Chaos of links: a chain redis-server → Ferrite → redis-server, each link through a proxy, with random writes of all types at its
 * head, while the links are cut, slowed and blocked. Used in a short form by the suite, and in a long one by bench/link-chaos.ts.
 */
import { LinkProxy } from "./link-proxy.ts";
import { randomWritesOn, startPrimaryRedis, startReplicaFerrite } from "./replicas.ts";
import { digest, eventually, info, linkUp } from "./replication.ts";
import { SeededRandom } from "./random.ts";
import { ask, type RespClient } from "./resp.ts";
import type { Server } from "./servers.ts";

const BATCH = 100;
const DIGESTS = 60;

export interface ChaosResult {
  readonly cuts: number;
  readonly writes: number;
  /** Full and partial synchronizations of the head and of the middle. */
  readonly full: readonly string[];
  readonly partial: readonly string[];
  /** Digests of head, middle and end. */
  readonly digests: readonly string[];
}

export class ChainChaos {
  private readonly servers: Server[] = [];
  private readonly proxies: LinkProxy[] = [];
  private readonly random: SeededRandom;

  constructor(private readonly seed: number) {
    this.random = new SeededRandom(seed);
  }

  /** Starts the chain. `backlog`: of all servers, bytes. */
  async begin(backlog = "67108864"): Promise<void> {
    const settings = { "repl-backlog-size": backlog, "repl-timeout": "5" };
    this.servers.push(
      ...(await Promise.all([
        startPrimaryRedis({ settings }),
        startReplicaFerrite({
          settings: {
            "replication.repl_backlog_size": backlog,
            "replication.repl_timeout": "5",
            "replication.repl_diskless_sync_delay": "0",
          },
        }),
        startPrimaryRedis({ settings }),
      ])),
    );
    for (const server of this.servers.slice(0, 2)) this.proxies.push(await LinkProxy.before(server.port));
  }

  /** Writes, and disturbs the links, until they have been cut `cuts` times, and for `seconds` at least. */
  async run(cuts: number, seconds = 0): Promise<ChaosResult> {
    const until = performance.now() + seconds * 1000;
    const [head, middle, end] = (await Promise.all(this.servers.map((server) => server.connect()))) as [
      RespClient,
      RespClient,
      RespClient,
    ];
    const writes = await randomWritesOn(head, this.seed);
    let written = 0;
    const write = async (count: number): Promise<void> => {
      await writes.send(count);
      written += count;
    };
    await write(10 * BATCH);
    await ask(middle, "REPLICAOF", "127.0.0.1", this.proxies[0]!.port);
    await linkUp(middle);
    await ask(end, "REPLICAOF", "127.0.0.1", this.proxies[1]!.port);
    await linkUp(end);
    while (this.cuts < cuts || performance.now() < until) {
      await this.disturb(() => write(BATCH));
      await eventually("both links", async () => (await isUp(middle)) && (await isUp(end)));
    }
    await write(BATCH);
    const digests = await this.settle(head, middle, end);
    const of = (field: string) => Promise.all([head, middle].map((client) => info(client, field, "stats")));
    return {
      cuts: this.cuts,
      writes: written,
      full: await of("sync_full"),
      partial: await of("sync_partial_ok"),
      digests,
    };
  }

  async stop(): Promise<void> {
    for (const proxy of this.proxies) proxy.stop();
    await Promise.all(this.servers.map((server) => server.kill()));
  }

  private get cuts(): number {
    return this.proxies.reduce((sum, { cuts }) => sum + cuts, 0);
  }

  /** Disturbs one link in one way, writes meanwhile, and cuts it. */
  private async disturb(write: () => Promise<void>): Promise<void> {
    const { random } = this;
    const proxy = this.proxies[random.below(this.proxies.length)]!;
    switch (random.below(5)) {
      case 0:
        proxy.slow(50_000 + random.below(500_000));
        break;
      case 1:
        proxy.block("down");
        break;
      case 2:
        proxy.block("up");
        break;
      case 3:
        proxy.cutAfter(1 + random.below(3000));
        break;
    }
    await write();
    proxy.cut();
    proxy.restore();
    await write();
  }

  /** Keys that are due go by and by: the digests are taken until all are the same. */
  private async settle(...clients: RespClient[]): Promise<string[]> {
    const offsets = () => Promise.all(clients.map((client) => info(client, "master_repl_offset")));
    let digests: string[] = [];
    for (let tries = 0; tries < DIGESTS; tries++) {
      await eventually("the same offset", async () => new Set(await offsets()).size === 1);
      digests = await Promise.all(clients.map(digest));
      if (new Set(digests).size === 1) break;
      await Bun.sleep(50);
    }
    return digests;
  }
}

async function isUp(client: RespClient): Promise<boolean> {
  return (await info(client, "master_link_status")) === "up";
}
