/** Commands about the files that hold the data: SAVE, BGSAVE, LASTSAVE. */
import { token } from "../../base/bytes.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SaveBegun } from "../../dispatch/services.ts";
import type { Call } from "../../dispatch/call.ts";
import { ErrorText } from "../../protocol/errors.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";

export const NO_FILES = "ERR nothing is kept in files here";

const IN_PROGRESS = "ERR Background save already in progress";
const REWRITING =
  "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.";
const SCHEDULE = token("schedule");

/** BGSAVE [SCHEDULE]. Replies at once; LASTSAVE and INFO tell of the end. */
export function backgroundSave(call: Call, reply: Reply): void {
  const { persistence } = call.server;
  if (call.argCount > 2 || (call.argCount === 2 && !call.argIs(1, SCHEDULE))) return reply.error(ErrorText.syntax);
  if (persistence === undefined) return reply.error(NO_FILES);
  switch (persistence.backgroundSave(call.argCount === 2)) {
    case SaveBegun.Started:
      return reply.simple("Background saving started");
    case SaveBegun.Scheduled:
      return reply.simple("Background saving scheduled");
    case SaveBegun.Already:
      return reply.error(IN_PROGRESS);
    default:
      return reply.error(REWRITING);
  }
}

/** SAVE. All shards are locked. Replies OK when the RDB file is on the disk. */
export function save(call: Call, reply: Reply): void {
  const { persistence } = call.server;
  if (persistence === undefined) return reply.error(NO_FILES);
  if (persistence.isSaving) return reply.error(IN_PROGRESS);
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
