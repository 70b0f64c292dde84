/** Commands about the server as a whole: TIME, ROLE, LOLWUT, SHUTDOWN. */
import { Int64Kind } from "../../base/integers.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { REDIS_VERSION } from "../../dispatch/services.ts";
import {
  ADMIN,
  ALLOW_BUSY,
  type CommandSpec,
  FAST,
  Later,
  LOADING,
  NO_KEYS,
  NO_MULTI,
  NO_SCRIPT,
  type Outcome,
  READONLY,
  STALE,
} from "../../dispatch/spec.ts";

export const serverFamily: readonly CommandSpec[] = [
  {
    name: "TIME",
    arity: 1,
    keys: NO_KEYS,
    flags: LOADING | STALE | FAST,
    categories: [],
    run: time,
    docs: {
      summary: "Replies the time: seconds since the Unix epoch, and the microseconds of the second.",
      since: "2.6.0",
      group: "server",
      complexity: "O(1)",
    },
  },
  {
    name: "ROLE",
    arity: 1,
    keys: NO_KEYS,
    flags: NO_SCRIPT | LOADING | STALE | FAST,
    categories: ["admin", "dangerous"],
    run: role,
    docs: {
      summary: "Replies the part this server plays in replication.",
      since: "2.8.12",
      group: "server",
      complexity: "O(1)",
    },
  },
  {
    name: "LOLWUT",
    arity: -1,
    keys: NO_KEYS,
    flags: READONLY | FAST,
    categories: [],
    run: lolwut,
    docs: {
      summary: "Shows a picture, and the version.",
      since: "5.0.0",
      group: "server",
      complexity: "O(1)",
      arguments: [{ name: "version", type: "integer", token: "VERSION", optional: true }],
    },
  },
  {
    name: "SHUTDOWN",
    arity: -1,
    keys: NO_KEYS,
    flags: ADMIN | NO_SCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY,
    categories: [],
    run: shutdown,
    docs: {
      summary: "Stops the server.",
      since: "1.0.0",
      group: "server",
      complexity: "O(1)",
      arguments: [
        {
          name: "nosave_save",
          type: "oneof",
          optional: true,
          arguments: [
            { name: "nosave", type: "pure-token", token: "NOSAVE" },
            { name: "save", type: "pure-token", token: "SAVE" },
          ],
        },
        { name: "now", type: "pure-token", token: "NOW", since: "7.0.0", optional: true },
        { name: "force", type: "pure-token", token: "FORCE", since: "7.0.0", optional: true },
        { name: "abort", type: "pure-token", token: "ABORT", since: "7.0.0", optional: true },
      ],
      history: [["7.0.0", "The modifiers NOW, FORCE and ABORT."]],
    },
  },
];

function time(call: Call, reply: Reply): void {
  const micros = call.clock.wallMicros();
  const seconds = Math.floor(micros / 1e6);
  reply.array(2);
  reply.text(String(seconds));
  reply.text(String(micros - seconds * 1e6));
}

function role(_call: Call, reply: Reply): void {
  reply.array(3);
  reply.text("master");
  reply.integer(0);
  reply.array(0);
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

/** LOLWUT [VERSION version [number ...]]: versions 5 and 6 take numbers, which shape pictures of Redis we do not draw. */
function lolwut(call: Call, reply: Reply): void {
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
function shutdown(call: Call, reply: Reply): Outcome | void {
  const said = new Set<string>();
  for (let i = 1; i < call.argCount; i++) said.add(call.argText(i).toLowerCase());
  for (const word of said) {
    if (!["nosave", "save", "now", "force", "abort"].includes(word)) return reply.error(ErrorText.syntax);
  }
  if (said.has("abort") && said.size > 1) return reply.error(ErrorText.syntax);
  if (said.has("save") && said.has("nosave")) return reply.error(ErrorText.syntax);
  if (said.has("abort")) return reply.error("ERR No shutdown in progress.");
  if (said.has("save")) {
    return reply.error(
      "ERR SHUTDOWN SAVE is not possible: persistence is off, there is nowhere to save to. Use NOSAVE",
    );
  }
  call.server.shutdown();
  return Later;
}
