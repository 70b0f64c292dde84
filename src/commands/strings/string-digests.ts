/** DIGEST, DELEX, DELIFEQ: the XXH3 digest of a string, and deletes that depend on a string or its digest. */
import { Status } from "../../base/status.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { RecordType } from "../../store/record.ts";
import { equal, equalsToken, token } from "../../base/bytes.ts";
import { wrongArity } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { KeyEvent } from "../../store/key-events.ts";
import type { Call } from "../../dispatch/call.ts";

const TOKENS = {
  ifeq: token("ifeq"),
  ifne: token("ifne"),
  ifdeq: token("ifdeq"),
  ifdne: token("ifdne"),
};

const DIGEST_CHARACTERS = 16;
const BAD_DIGEST = "ERR must be exactly 16 hexadecimal characters";

/** The XXH3 digest of the string found, in the format of DIGEST. */
function digestOfFound(call: Call): string {
  const length = call.strings.lengthFound;
  const whole = Buffer.allocUnsafe(length);
  call.strings.read(0, whole, 0, length);
  return Bun.hash.xxHash3(whole).toString(16).padStart(DIGEST_CHARACTERS, "0");
}

/** Removes the key found. */
function deleteFound(call: Call): void {
  call.store.remove(KeyEvent.Deleted);
  call.effects.deletes(call, 1);
}

/** DIGEST key. Replies: 16 hexadecimal digits; null when there is no such key. */
export function digest(call: Call, reply: Reply): void {
  const { store } = call;
  if (store.findForRead() === NO_ADDRESS) return reply.nullBulk();
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  reply.text(digestOfFound(call));
}

/** True when the string found equals argument `i`. */
function equalsArgument(call: Call, i: number): boolean {
  const length = call.strings.lengthFound;
  if (length !== call.argBytes(i)) return false;
  for (let done = 0; done < length; ) {
    const part = call.strings.openPart(done);
    if (!equal(call.strings.bytes, call.strings.at, call.bytes, call.argAt(i) + done, part)) return false;
    done += part;
  }
  return true;
}

/** DELEX key [IFEQ value | IFNE value | IFDEQ digest | IFDNE digest]. Replies: 1 when the key was deleted. */
export function delex(call: Call, reply: Reply): void {
  const { store } = call;
  if (call.argCount === 2) {
    if (store.find() === NO_ADDRESS) return reply.integer(0);
    deleteFound(call);
    return reply.integer(1);
  }
  if (call.argCount !== 4) return reply.error(wrongArity("delex"));
  if (store.find() === NO_ADDRESS) return reply.integer(0);
  if (store.cursor.type !== RecordType.String) {
    return reply.error("ERR Key should be of string type if conditions are specified");
  }
  const byDigest = call.argIs(2, TOKENS.ifdeq) || call.argIs(2, TOKENS.ifdne);
  const isNegated = call.argIs(2, TOKENS.ifne) || call.argIs(2, TOKENS.ifdne);
  if (!byDigest && !isNegated && !call.argIs(2, TOKENS.ifeq)) {
    return reply.error("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");
  }
  if (byDigest && call.argBytes(3) !== DIGEST_CHARACTERS) return reply.error(BAD_DIGEST);
  const isSame = byDigest
    ? equalsToken(call.bytes, call.argAt(3), call.argBytes(3), token(digestOfFound(call)))
    : equalsArgument(call, 3);
  if (isSame === isNegated) return reply.integer(0);
  deleteFound(call);
  reply.integer(1);
}

/** DELIFEQ key value. Replies: 1 when the key was deleted. */
export function delifeq(call: Call, reply: Reply): void {
  const { store } = call;
  if (store.find() === NO_ADDRESS) return reply.integer(0);
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  if (!equalsArgument(call, 2)) return reply.integer(0);
  deleteFound(call);
  reply.integer(1);
}
