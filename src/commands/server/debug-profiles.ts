/** DEBUG HEAP and DEBUG PROFILE: files for the developer tools of a browser, one per worker. */
import type { Call } from "../../dispatch/call.ts";
import type { ProfileRequest } from "../../dispatch/services.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";
import type { Reply } from "../../protocol/reply.ts";

/** Longest profile, seconds. Its samples stay in memory until then. */
const SECONDS_MAX = 300;

/** DEBUG HEAP: each worker writes a snapshot of its heap. Replies the paths. */
export function heap(call: Call, reply: Reply): Outcome | void {
  return write(call, reply, { kind: "heap" });
}

/** DEBUG PROFILE seconds: each worker samples where its time goes. Replies the paths when that is over. */
export function profile(call: Call, reply: Reply): Outcome | void {
  const seconds = Number(call.argText(2));
  if (!(seconds > 0 && seconds <= SECONDS_MAX))
    return reply.error(`ERR seconds must be more than 0 and at most ${SECONDS_MAX}`);
  return write(call, reply, { kind: "cpu", ms: Math.ceil(seconds * 1000) });
}

function write(call: Call, reply: Reply, request: ProfileRequest): Outcome | void {
  const { server, session } = call;
  if (server.writeProfiles === undefined) return reply.error("ERR the embedded mode writes no profiles");
  server.writeProfiles(request, (files) =>
    server.resume(session, (later) => {
      const failed = files.find(({ failure }) => failure !== "");
      if (failed !== undefined) return later.error(`ERR ${failed.failure.replace(/[\r\n]+/g, " ")}`);
      later.array(files.length);
      for (const { path } of files) later.text(path);
    }),
  );
  return Later;
}
