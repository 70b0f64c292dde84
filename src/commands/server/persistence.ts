/** Commands about the files that hold the data: SAVE, LASTSAVE. */
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";

export const NO_FILES = "ERR nothing is kept in files here";

/** SAVE. All shards are locked. Replies OK when the RDB file is on the disk. */
export function save(call: Call, reply: Reply): void {
  const { persistence } = call.server;
  if (persistence === undefined) return reply.error(NO_FILES);
  const failure = persistence.save();
  if (failure !== "") return reply.error(`ERR the RDB file could not be written: ${failure}`);
  reply.ok();
}

/** BGREWRITEAOF. Replies that the rewrite has begun. */
export function bgRewriteAof(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  const { persistence } = server;
  if (persistence === undefined) return reply.error(NO_FILES);
  persistence.rewriteAof((failure) =>
    server.resume(session, (to) => {
      if (failure === "") to.simple("Background append only file rewriting started");
      else to.error(failure);
    }),
  );
  return Later;
}

/** LASTSAVE. Replies the time of the last good save, s. */
export function lastSave(call: Call, reply: Reply): void {
  reply.integer(Math.floor((call.server.persistence?.facts().lastSaveMs ?? 0) / 1000));
}
