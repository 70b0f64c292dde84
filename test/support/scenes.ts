/** Scenes of several clients, for commands that wait. */
import { type Reply, type RespClient, show, within } from "./resp.ts";
import type { Server } from "./servers.ts";

const HANG_MS = 20_000;

/**
 * A scene has one step per line: `client command ...`. A mark after the client's name changes the step. "!" sends the command
 * and waits until the client is blocked. "~" only sends it. "?" awaits the client's reply, and "-" ignores it. "x" in place
 * of a command closes the client. `$name` stands for a client's ID.
 */
export async function play(target: Server, scene: readonly string[]): Promise<string[]> {
  const clients = new Map<string, { client: RespClient; id: string; reply: Promise<Reply> | null }>();
  const admin = await target.connect();
  await admin.command("FLUSHALL");
  const named = async (name: string) => {
    const known = clients.get(name);
    if (known !== undefined) return known;
    const client = await target.connect();
    const made = { client, id: show(await client.command("CLIENT", "ID")).slice(1), reply: null };
    clients.set(name, made);
    return made;
  };
  const said: string[] = [];
  for (const step of scene) {
    const [who, ...words] = step.split(" ");
    const name = who!.replace(/[!?~-]$/, "");
    const actor = await named(name);
    const args = words.map((word) => (word.length > 1 && word.startsWith("$") ? clients.get(word.slice(1))!.id : word));
    if (words[0] === "x") {
      actor.client.close();
      await actor.client.closed;
    } else if (/[!~]$/.test(who!)) {
      actor.reply = actor.client.command(...args);
      actor.reply.catch(() => {});
      if (who!.endsWith("~")) continue;
      const line = new RegExp(`id=${actor.id} .*flags=b `);
      await within(seen(admin, line), HANG_MS, step);
    } else if (who!.endsWith("?")) {
      const reply = await within(actor.reply!, HANG_MS, step);
      said.push(`${step} ${show(reply)}`);
    } else {
      const text = show(await within(actor.client.command(...args), HANG_MS, step));
      if (!who!.endsWith("-")) said.push(`${step} ${text}`);
    }
  }
  for (const { client } of clients.values()) client.close();
  admin.close();
  return said;
}

/** Waits until CLIENT LIST has such a line. */
export async function seen(admin: RespClient, line: RegExp): Promise<void> {
  while (!line.test(show(await admin.command("CLIENT", "LIST")))) await Bun.sleep(1);
}
