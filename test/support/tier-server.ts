/** What tests of the disk tier over sockets share: settings, and requests that end with an error when nothing comes. */
import { type Argument, type RespClient, show, within } from "./resp.ts";

/** Every value of 16 bytes or more goes to disk, and whoever reads it waits. */
export const ALL_COLD = {
  "storage.tiering": "true",
  "storage.hybridlog_mutable_size": "0",
  "storage.hybridlog_readonly_size": "0",
  "storage.tier_min_value_size": "16",
  "storage.tier_page_cache": "false",
  "storage.num_shards": "16",
};

/** `guardMs`: a guard against hangs, not an assertion on time. */
export function guarded(guardMs: number) {
  async function ask(client: RespClient, ...args: Argument[]): Promise<string> {
    return show(await within(client.command(...args), guardMs, args.join(" ").slice(0, 80)));
  }

  /** A figure of a section of INFO. */
  async function figure(client: RespClient, section: string, name: string): Promise<number> {
    const text = await ask(client, "INFO", section);
    return Number(new RegExp(`${name}:([0-9.]+)`).exec(text)?.[1] ?? Number.NaN);
  }

  async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
    const end = Date.now() + guardMs;
    while (!(await condition())) {
      if (Date.now() > end) throw new Error(`not in time: ${what}`);
      await Bun.sleep(10);
    }
  }

  return { ask, figure, until };
}
