/** Commands about the server as a whole: TIME, ROLE, LOLWUT, SHUTDOWN. */
import { Int64Kind } from "../../base/integers.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { Pause, REDIS_VERSION } from "../../dispatch/services.ts";
import { NO_FILES } from "./persistence.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";

export function time(call: Call, reply: Reply): void {
  const micros = call.clock.wallMicros();
  const seconds = Math.floor(micros / 1e6);
  reply.array(2);
  reply.text(String(seconds));
  reply.text(String(micros - seconds * 1e6));
}

const PICTURE = `
      .--------.        iron, in a cubic mood:
     /  Fe    /|
    +--------+ |          o---o---o
    |  ..    | |          |   |   |
    |   26   | |          o---o---o
    |    ..  | +          |   |   |
    |        |/           o---o---o
    '--------'
`;

/** LOLWUT [VERSION version [number ...]]. Versions 5 and 6 take numbers for pictures that Ferrite does not draw. */
export function lolwut(call: Call, reply: Reply): void {
  let numbersFrom = call.argCount;
  if (call.argCount >= 3 && call.argText(1).toLowerCase() === "version") {
    if (call.argInt64(2) === Int64Kind.None) return reply.error(ErrorText.notInteger);
    const version = call.argInteger(2);
    if (version === 5 || version === 6) numbersFrom = 3;
  }
  for (let i = numbersFrom; i < call.argCount; i++) {
    if (call.argInt64(i) === Int64Kind.None) return reply.error(ErrorText.notInteger);
  }
  reply.verbatim(`${PICTURE}\nRedis ver. ${REDIS_VERSION} (Ferrite ${call.server.version})\n`);
}

/** SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]. No reply when it succeeds: the connection closes. */
export function shutdown(call: Call, reply: Reply): Outcome | void {
  const said = new Set<string>();
  for (let i = 1; i < call.argCount; i++) said.add(call.argText(i).toLowerCase());
  for (const word of said) {
    if (!["nosave", "save", "now", "force", "abort"].includes(word)) return reply.error(ErrorText.syntax);
  }
  if (said.has("abort") && said.size > 1) return reply.error(ErrorText.syntax);
  if (said.has("save") && said.has("nosave")) return reply.error(ErrorText.syntax);
  if (said.has("abort")) return reply.error("ERR No shutdown in progress.");
  // Without NOSAVE the data is saved as at SIGTERM: by save points as in Redis, and as a checkpoint.
  const { config } = call;
  const hasCheckpoints =
    config.flag("persistence.enable_checkpoints") && config.flag("persistence.checkpoint_on_shutdown");
  const savesAtEnd =
    config.text("persistence.save") !== "" || (hasCheckpoints && call.server.persistence !== undefined);
  if (said.has("save") || (savesAtEnd && !said.has("nosave"))) return saveAndShutDown(call, reply, said);
  // A script that runs too long would hold the end up.
  if (said.has("nosave")) call.scripts?.state.killAll();
  call.server.shutdown(said.has("now"), said.has("nosave"));
  return Later;
}

/** Shuts down when the RDB file is on the disk, with no write of a client after it. */
function saveAndShutDown(call: Call, reply: Reply, said: ReadonlySet<string>): Outcome | void {
  const { server, session, clock } = call;
  const { persistence } = server;
  if (persistence === undefined) return reply.error(NO_FILES);
  const saved = (failure: string) => {
    if (failure === "" || said.has("force")) return server.shutdown(said.has("now"));
    server.unpauseClients?.(() => {});
    server.resume(session, (later) => later.error("ERR Errors trying to SHUTDOWN. Check logs."));
  };
  const save = () => (said.has("save") ? persistence.saveWhenFree(saved) : persistence.saveLast(saved));
  if (server.pauseClients === undefined) save();
  else server.pauseClients(Pause.Writes, clock.wallMs() + PAUSE_MS, save);
  return Later;
}
/** Longer than any save takes. */
const PAUSE_MS = 1e9;
