/**
 * Positions of callers further out, for error() with a level above 1.
 *
 * Only the innermost call has its site in `state`. For others a JavaScript stack is captured: a call of a Lua function begins a
 * line of the generated text with the number of its site in a comment, so the line of a frame tells the site.
 */
import { generatedText, positionOf } from "./sites.ts";
import { state } from "./state.ts";

/** Prefix of the name under which JavaScript knows a generated text. */
export const SOURCE_PREFIX = "lua-";

const FRAMES_MAX = 60;
const FRAME = new RegExp(`${SOURCE_PREFIX}(\\d+):(\\d+)`);

/** The position of the Lua code that is `level` calls away from the built-in that runs: "user_script:3: ", or nothing. */
export function callerPosition(level: number): string {
  if (level === 1) return positionOf(state.site);
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES_MAX;
  const stack = new Error().stack ?? "";
  Error.stackTraceLimit = before;
  let found = 0;
  for (const line of stack.split("\n")) {
    const frame = FRAME.exec(line);
    if (frame !== null && ++found === level) return positionOf(siteOnLine(Number(frame[1]), Number(frame[2])));
  }
  return "";
}

function siteOnLine(base: number, line: number): number {
  const text = generatedText(base);
  const written = /\/\*(\d+)\*\//.exec(text.split("\n")[line - 1] ?? "");
  return written === null ? 0 : Number(written[1]);
}
