/**
 * DEBUG RELOAD: the data goes into the RDB file and comes back from it, as a restart would bring it back, with the locks of
 * all shards held. The file has Ferrite's own forms, so that nothing is lost. Encodings are chosen anew by the limits in
 * force.
 *
 * DEBUG LOADAOF does the same with the append-only file, which the main thread has all workers load, as at a start.
 */
import { assert, CHECKS } from "../../base/assert.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { Later, type Outcome, Retry } from "../../dispatch/spec.ts";
import { datasetDigest } from "./debug-digest.ts";
import { NO_FILES } from "./persistence.ts";

const OPTIONS = new Set(["merge", "noflush", "nosave"]);
const BAD_OPTION = "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.";

/** DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE] */
export function reload(call: Call, reply: Reply): Outcome | void {
  const said = new Set<string>();
  for (let i = 2; i < call.argCount; i++) {
    const option = call.argText(i).toLowerCase();
    if (!OPTIONS.has(option)) return reply.error(BAD_OPTION);
    said.add(option);
  }
  const { persistence } = call.server;
  if (persistence === undefined) return reply.error(NO_FILES);
  const cold = call.store.cold.files.totals().records;
  // It loads at once, and values could not go to disk meanwhile.
  if (cold > 0) return reply.error(`ERR DEBUG RELOAD needs all values in memory, but ${cold} are in segment files`);
  const saves = !said.has("nosave");
  let failure = "";
  const isEntered = call.store.section.withinAll(() => {
    // Loading leaves out what is due. It is removed before, so that the change log has it.
    call.server.expirePass();
    const before = CHECKS && saves ? datasetDigest(call) : "";
    failure = persistence.reload({ saves, flushes: !said.has("noflush"), merges: said.has("merge") });
    if (before !== "" && failure === "") assert(datasetDigest(call) === before, "what was loaded is what was saved");
  });
  if (!isEntered) return Retry;
  if (failure !== "") return reply.error(`ERR ${failure}`);
  reply.ok();
}

/** DEBUG LOADAOF. Other clients are answered LOADING meanwhile. */
export function loadAof(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  const { persistence } = server;
  if (persistence === undefined) return reply.error(NO_FILES);
  persistence.loadAof((failure) =>
    server.resume(session, (to) => {
      if (failure === "") to.ok();
      else to.error(failure);
    }),
  );
  return Later;
}
