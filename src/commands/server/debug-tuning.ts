/** DEBUG's switches: those that change something here, and those that only tune structures which Redis has. */
import { matchGlob } from "../../base/glob.ts";
import { parseRedisBytes } from "../../base/config/values.ts";
import { Int64Kind } from "../../base/integers.ts";
import { DebugSwitch, setDebugSwitch } from "../../memory/debug-switches.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";

const THRESHOLD_MAX = 4 * 1024 ** 3;
const FUZZ_ROUNDS = 20_000;

/** An argument that is on or off, as C's atoi reads it: anything but a number is 0. */
function isOn(call: Call, i: number): boolean {
  return call.argInt64(i) !== Int64Kind.None && call.argInteger(i) !== 0;
}

/** DEBUG PAUSE-CRON 0|1: no background work in any worker. */
export function pauseCron(call: Call, reply: Reply): void {
  setDebugSwitch(call.store.arena.control, DebugSwitch.PausesCron, isOn(call, 2));
  reply.ok();
}

/** DEBUG SET-SKIP-CHECKSUM-VALIDATION 0|1: RESTORE looks at neither the version nor the checksum of a payload. */
export function skipChecksums(call: Call, reply: Reply): void {
  setDebugSwitch(call.store.arena.control, DebugSwitch.SkipsChecksums, isOn(call, 2));
  reply.ok();
}

/** DEBUG QUICKLIST-PACKED-THRESHOLD size: there are no quicklists, so the size is checked and forgotten. */
export function packedThreshold(call: Call, reply: Reply): void {
  const bytes = parseRedisBytes(call.argText(2));
  if (!(bytes >= 0 && bytes < THRESHOLD_MAX)) {
    return reply.error("ERR argument must be a memory value bigger than 1 and smaller than 4gb");
  }
  reply.ok();
}

/** DEBUG REPLYBUFFER PEAK-RESET-TIME never|reset|ms, RESIZING 0|1: clients have no reply buffers that could shrink. */
export function replyBuffer(call: Call, reply: Reply): void {
  const what = call.argText(2).toLowerCase();
  if (what === "resizing") return reply.ok();
  if (what !== "peak-reset-time") {
    return reply.error(`ERR unknown subcommand or wrong number of arguments for '${call.argText(1)}'. Try DEBUG HELP.`);
  }
  const time = call.argText(3).toLowerCase();
  if (time !== "never" && time !== "reset" && call.argInt64(3) === Int64Kind.None) {
    return reply.error(ErrorText.notInteger);
  }
  reply.ok();
}

/** DEBUG STRINGMATCH-TEST: matches random texts with random patterns. */
export function matchTest(call: Call, reply: Reply): void {
  const { random } = call.store;
  const text = Buffer.alloc(32);
  const pattern = Buffer.alloc(32);
  const LETTERS = Buffer.from("abc*?[]^-\\");
  for (let round = 0; round < FUZZ_ROUNDS; round++) {
    const textBytes = random.below(text.length);
    const patternBytes = random.below(pattern.length);
    for (let i = 0; i < textBytes; i++) text[i] = LETTERS[random.below(LETTERS.length)]!;
    for (let i = 0; i < patternBytes; i++) pattern[i] = LETTERS[random.below(LETTERS.length)]!;
    matchGlob(pattern, 0, patternBytes, text, 0, textBytes, (round & 1) === 1);
  }
  reply.simple(`Apparently the server did not crash: ${FUZZ_ROUNDS} matches`);
}
