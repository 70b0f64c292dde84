/** What tests of replication share, whichever side Ferrite is on: waiting, INFO, digests, random writes. */
import { CommandGenerator } from "./generator.ts";
import { SeededRandom } from "./random.ts";
import { ask, type RespClient } from "./resp.ts";

/** Longest wait for a state that must come, and the pause between two looks. */
export const SETTLE_MS = 60_000;
const LOOK_MS = 10;

/** Waits until `is` is true. `what` is shown when it does not come. */
export async function eventually(what: string, is: () => Promise<boolean> | boolean): Promise<void> {
  const until = performance.now() + SETTLE_MS;
  while (!(await is())) {
    if (performance.now() > until) throw new Error(`it did not come: ${what}`);
    await Bun.sleep(LOOK_MS);
  }
}

/** A field of INFO; "" = it is not there. */
export async function info(client: RespClient, field: string, section = "replication"): Promise<string> {
  const reply = await client.command("INFO", section);
  const text = "value" in reply ? String(reply.value) : "";
  return new RegExp(`^${field}:(.*?)\r?$`, "m").exec(text)?.[1] ?? "";
}

/** Waits until a replica has its data and its link. */
export function linkUp(replica: RespClient): Promise<void> {
  return eventually("master_link_status:up", async () => (await info(replica, "master_link_status")) === "up");
}

/** Waits until `replicas` replicas have acknowledged everything that `client` has written. */
export function acknowledged(client: RespClient, replicas: number): Promise<void> {
  return eventually(`${replicas} replicas have acknowledged`, async () => {
    const reply = await ask(client, "WAIT", replicas, 1000);
    return Number(reply.slice(1)) >= replicas;
  });
}

/** The digest of all data; Ferrite and redis-server use the same algorithm. */
export function digest(client: RespClient): Promise<string> {
  return ask(client, "DEBUG", "DIGEST");
}

/** Commands that are about the server and not about data, or whose reply waits. */
const ABOUT_SERVER =
  /^(CLIENT|CONFIG|DEBUG|HELLO|RESET|QUIT|AUTH|WAIT|SHUTDOWN|MONITOR|SUBSCRIBE|PSUBSCRIBE|SSUBSCRIBE|MULTI|EXEC|DISCARD|WATCH|BL|BR|BZ|XREAD)/i;

export interface WriteOptions {
  readonly supports: (command: string) => boolean;
  /** Further commands that are left out. */
  readonly leftOut?: (args: readonly string[]) => boolean;
  /** Now and then another database is selected. */
  readonly selects?: boolean;
}

/** Random commands of all types on a primary, some of them in transactions. Replies do not matter. */
export class RandomWrites {
  private readonly generator: CommandGenerator;
  private readonly random: SeededRandom;

  constructor(
    private readonly client: RespClient,
    seed: number,
    private readonly options: WriteOptions,
  ) {
    this.random = new SeededRandom(seed);
    this.generator = new CommandGenerator(this.random, Date.now(), options.supports);
  }

  async send(count: number): Promise<void> {
    const { random } = this;
    const { leftOut, selects = false } = this.options;
    const batch: string[][] = [];
    while (batch.length < count) {
      const { args } = this.generator.next();
      if (args.length === 0 || ABOUT_SERVER.test(args[0]!) || leftOut?.(args) === true) continue;
      if (selects && random.chance(0.02)) batch.push(["SELECT", String(random.below(3))]);
      if (!random.chance(0.05)) batch.push(args);
      else batch.push(["MULTI"], args, ["INCR", "transactions"], ["EXEC"]);
    }
    await this.client.pipeline(batch);
  }
}
