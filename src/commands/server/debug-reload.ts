/**
 * DEBUG RELOAD: the data goes into the RDB file and comes back from it, as a restart would bring it back, with the locks of
 * all shards held. The file has Ferrite's own forms, so that nothing is lost. Encodings are chosen anew by the limits in
 * force. While values are in segment files the main thread has all workers do it in steps: values go to disk between them.
 *
 * DEBUG LOADAOF does the same with the append-only file, which the main thread has all workers load, as at a start.
 */
import { assert, CHECKS } from "../../base/assert.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import type { Persistence, ReloadOptions } from "../../dispatch/services.ts";
import { Later, type Outcome, Retry } from "../../dispatch/spec.ts";
import { datasetDigest } from "./debug-digest.ts";
import { NO_FILES } from "./persistence.ts";

const OPTIONS = new Set(["merge", "noflush", "nosave"]);
const BAD_OPTION = "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.";
const NEEDS_TIME = "ERR DEBUG RELOAD cannot run here: values are in segment files, and it loads them in steps";

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
  const saves = !said.has("nosave");
  const options = { saves, flushes: !said.has("noflush"), merges: said.has("merge") };
  if (call.store.cold.files.totals().records > 0) return reloadInSteps(call, reply, persistence, options);
  let failure = "";
  const isEntered = call.store.section.withinAll(() => {
    // Loading leaves out what is due. It is removed before, so that the change log has it.
    call.server.expirePass();
    const before = CHECKS && saves ? datasetDigest(call) : "";
    failure = persistence.reload(options);
    if (before !== "" && failure === "") assert(datasetDigest(call) === before, "what was loaded is what was saved");
  });
  if (!isEntered) return Retry;
  if (failure !== "") return reply.error(`ERR ${failure}`);
  reply.ok();
}

/** Values are in segment files. */
function reloadInSteps(
  { store, server, session }: Call,
  reply: Reply,
  persistence: Persistence,
  options: ReloadOptions,
): Outcome | void {
  if (store.section.isAtOnce) return reply.error(NEEDS_TIME);
  persistence.reloadAll(options, (failure) =>
    server.resume(session, (to) => {
      if (failure === "") to.ok();
      else to.error(failure);
    }),
  );
  return Later;
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
