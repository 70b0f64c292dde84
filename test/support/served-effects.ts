/** Effects of commands that serve blocked clients, in Ferrite and in redis-server. */
import { differences, type EffectFeeds } from "./effect-feeds.ts";
import { show } from "./resp.ts";

/**
 * Runs a script in both servers and returns what differs:
 *
 *   2> BLPOP list 0      client 2 sends this and blocks
 *   LPUSH list a         client 0 sends this; the effects of both servers are compared
 *   2<                   client 2 reads its reply, which is the same from both
 *
 * `isCompared` tells which effects count. MULTI and EXEC are left out: Ferrite makes one unit of a command and of what it serves. Two more forms differ and mean
 * the same: redis-server writes "left" where a client waited, and RPOPLPUSH for BRPOPLPUSH, which to a waiting client's
 * request in Ferrite is a BLMOVE like any other.
 */
export async function compareServed(feeds: EffectFeeds, script: string, isCompared = isData): Promise<string[]> {
  const found: string[] = [];
  for (const line of script.split("\n").map((text) => text.trim())) {
    if (line === "") continue;
    const n = Number(line[0]);
    if (line[1] === ">") {
      await feeds.block(n, ...line.slice(3).split(" "));
    } else if (line[1] === "<") {
      const redis = show(await (await feeds.redis.client(n)).next());
      const ferrite = show(await (await feeds.ferrite.client(n)).next());
      if (redis !== ferrite) found.push(`reply to client ${n}: ${redis} from redis, ${ferrite} from ferrite`);
    } else {
      const { redis, ferrite, ...replies } = await feeds.run(...line.split(" "));
      const difference = differences(line, {
        redis: redis.filter(isCompared).map(asMove),
        ferrite: ferrite.filter(isCompared),
        ...replies,
      });
      if (difference !== "") found.push(difference);
    }
  }
  return found;
}

function asMove(effect: string): string {
  return effect
    .replace(/^RPOPLPUSH (\S+) (\S+)$/, "LMOVE $1 $2 RIGHT LEFT")
    .replace(/^(LMOVE \S+ \S+) (\S+ \S+)$/, (_, keys: string, ends: string) => `${keys} ${ends.toUpperCase()}`);
}

function isData(effect: string): boolean {
  return effect !== "MULTI" && effect !== "EXEC";
}
