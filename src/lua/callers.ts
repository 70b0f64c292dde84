/**
 * Positions of callers further out, for error() with a level above 1.
 *
 * Only the innermost call has its site in `state`. For others a JavaScript stack is captured: a call of a Lua function begins a
 * line of the generated text with the number of its site in a comment, so the line of a frame tells the site.
 */
import { generatedText, positionOf } from "./sites.ts";
import { handlerSites, state } from "./state.ts";

/** Prefix of the name under which JavaScript knows a generated text. */
export const SOURCE_PREFIX = "lua-";

const FRAMES_MAX = 60;
const LUA_FRAME = new RegExp(`${SOURCE_PREFIX}(\\d+):(\\d+)`);

/** Frames of a built-in that called back: a level of its own, without a position. */
const BUILTIN_FRAME = /\bat (?:callValue|callReplacement|sort) /;
/** Frames of an operation that called a metamethod: no level, but the site of the Lua code further out. */
const HANDLER_FRAME = /\bat callHandler /;
/** The frame below which a coroutine begins: it has no further levels. */
const COROUTINE_FRAME = /\bat resumeCoroutine /;

/** The position of the Lua code that is `level` calls away from the built-in that runs: "user_script:3: ", or nothing. */
export function callerPosition(level: number): string {
  if (level === 1) return positionOf(state.site);
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES_MAX;
  const stack = new Error().stack ?? "";
  Error.stackTraceLimit = before;
  return positionIn(stack.split("\n"), level);
}

function positionIn(frames: readonly string[], level: number): string {
  let found = 0;
  let nested = state.nested;
  let handlerSite = 0;
  for (const line of frames) {
    if (COROUTINE_FRAME.test(line)) return "";
    const isBuiltin = BUILTIN_FRAME.test(line);
    if (HANDLER_FRAME.test(line)) handlerSite = handlerSites[nested--] ?? 0;
    else if (isBuiltin) nested--;
    const frame = LUA_FRAME.exec(line);
    if (frame === null && !isBuiltin) continue;
    if (++found === level) {
      if (frame === null) return "";
      return positionOf(handlerSite > 0 ? handlerSite : siteOnLine(Number(frame[1]), Number(frame[2])));
    }
    handlerSite = 0;
  }
  return "";
}

function siteOnLine(base: number, line: number): number {
  const text = generatedText(base);
  const written = /\/\*(\d+)\*\//.exec(text.split("\n")[line - 1] ?? "");
  return written === null ? 0 : Number(written[1]);
}
