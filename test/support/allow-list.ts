/**
 * Intended differences from redis-server 7.0.15. Each has a reason that a user would accept. Any other difference is a bug.
 * The list has at most 20 entries, because a long one would hide a loss of compatibility.
 */
import { DEADLINE_MAX } from "../../src/store/record.ts";
import { readString } from "../../src/structures/rdb-string.ts";
import { type Step, TIME_TOLERANCE_MS } from "./generator.ts";
import { type Reply, show } from "./resp.ts";
import { SORT_KEYS } from "./sort-steps.ts";

export interface AllowedDifference {
  reason: string;
  /** After this difference the two servers may hold different data: they are emptied. */
  dataMayDiffer: boolean;
  matches(step: Step, redis: Reply, ferrite: Reply): boolean;
}

/** Version and checksum at the end of a payload. */
const FOOTER_BYTES = 10;

const unitOf = (command: string): number => (command.toUpperCase().startsWith("P") ? 1 : 1000);

/** True when the reply of TTL, PTTL, EXPIRETIME or PEXPIRETIME is so far away that both mean "practically never". */
function isFarAway(command: string, reply: Reply): boolean {
  if (reply.type !== "int") return false;
  const unixMs = Number(reply.value) * unitOf(command) + (/EXPIRETIME$/i.test(command) ? 0 : Date.now());
  return unixMs >= DEADLINE_MAX - 86_400_000;
}

/** The encodings of a small set or list by Redis 7.0 and by Ferrite. */
function isSmall(redis: Reply, ferrite: Reply): boolean {
  if (redis.type !== "bulk" || ferrite.type !== "bulk" || ferrite.value !== "listpack") return false;
  return redis.value === "hashtable" || redis.value === "quicklist";
}

export const ALLOWED: readonly AllowedDifference[] = [
  {
    reason:
      "Deadlines after the year 287396 (2^53 - 1 ms, the last that a double counts exactly) are kept as that moment: TTL " +
      "and its relatives reply another very large number.",
    dataMayDiffer: false,
    matches: (step, redis, ferrite) =>
      /^P?(TTL|EXPIRETIME)$/i.test(step.args[0]!) &&
      isFarAway(step.args[0]!, redis) &&
      isFarAway(step.args[0]!, ferrite),
  },
  {
    reason:
      "The same, for the conditions GT and LT of EXPIRE and its relatives between two deadlines after the year 287396: to " +
      "Ferrite they are equal.",
    dataMayDiffer: false,
    matches: (step, redis, ferrite) =>
      /^P?EXPIRE(AT)?$/i.test(step.args[0]!) &&
      /^(GT|LT)$/i.test(step.args[3] ?? "") &&
      Number(step.args[2]) * unitOf(step.args[0]!) > DEADLINE_MAX - Date.now() - 86_400_000 &&
      redis.type === "int" &&
      ferrite.type === "int",
  },
  {
    reason:
      "RESTORE of a damaged string: Redis reads on into the checksum behind a value that is cut short, takes packed bytes " +
      "that claim to make none for an empty string, and keeps what comes of it; Ferrite answers that the format is bad.",
    dataMayDiffer: true,
    matches: (step, redis, ferrite) => {
      const payload = Buffer.from(step.args[3] ?? "", "latin1");
      return (
        /^RESTORE$/i.test(step.args[0]!) &&
        redis.type === "simple" &&
        ferrite.type === "error" &&
        ferrite.value === "ERR Bad data format" &&
        readString(payload, 1, payload.length - FOOTER_BYTES, payload.length) < 0
      );
    },
  },
  {
    reason:
      "OBJECT REFCOUNT of an integer from 0 to 9999: in Redis it depends on the command that made it whether the value is " +
      "one of the shared objects; Ferrite, which has none, always says that it is.",
    dataMayDiffer: false,
    matches: (step, redis, ferrite) =>
      /^OBJECT$/i.test(step.args[0]!) &&
      /^REFCOUNT$/i.test(step.args[1] ?? "") &&
      redis.type === "int" &&
      redis.value === "1" &&
      ferrite.type === "int" &&
      ferrite.value === "2147483647",
  },
  {
    reason:
      "OBJECT IDLETIME of such an integer: the object that all of them share in Redis has not been looked at since the " +
      "server began, which shows in streams that take longer than the tolerance.",
    dataMayDiffer: false,
    matches: (step, redis, ferrite) =>
      /^OBJECT$/i.test(step.args[0]!) &&
      /^IDLETIME$/i.test(step.args[1] ?? "") &&
      redis.type === "int" &&
      Number(redis.value) * 1000 > TIME_TOLERANCE_MS &&
      ferrite.type === "int" &&
      Number(ferrite.value) < Number(redis.value),
  },
  {
    reason:
      "BITCOUNT and BITPOS of a key that is not there or no string: Redis 7.2 and later judge the arguments first, as Ferrite does; " +
      "7.0 looks at the key first.",
    dataMayDiffer: false,
    matches: (step, redis, ferrite) =>
      /^BIT(COUNT|POS)$/i.test(step.args[0]!) &&
      (redis.type === "int" ? Number(redis.value) <= 0 : redis.type === "error" && /^WRONGTYPE/.test(redis.value)) &&
      ferrite.type === "error" &&
      /^ERR (syntax error|value is not an integer or out of range)$/.test(String(ferrite.value)),
  },
  {
    reason:
      "OBJECT ENCODING of a small set or list: Redis 7.2 and later, and Ferrite, keep it as a listpack; 7.0 as a " +
      "hashtable or a quicklist.",
    dataMayDiffer: false,
    matches: (step, redis, ferrite) =>
      /^OBJECT$/i.test(step.args[0]!) && /^ENCODING$/i.test(step.args[1] ?? "") && isSmall(redis, ferrite),
  },
  {
    reason:
      "OBJECT ENCODING of a small sorted set that SORT has looked at: Redis turns it into a skiplist to read it; Ferrite " +
      "reads it as it is.",
    dataMayDiffer: false,
    matches: (step, redis, ferrite) =>
      /^OBJECT$/i.test(step.args[0]!) &&
      SORT_KEYS.includes(step.args[2] ?? "") &&
      redis.type === "bulk" &&
      redis.value === "skiplist" &&
      ferrite.type === "bulk" &&
      ferrite.value === "listpack",
  },
  {
    reason:
      "SORT by numbers after some command's number was beyond a double: Redis takes the errno left by that for its own " +
      "and says that a score is none.",
    dataMayDiffer: true,
    matches: (step, redis, ferrite) =>
      /^SORT(_RO)?$/i.test(step.args[0]!) &&
      redis.type === "error" &&
      redis.value === "ERR One or more scores can't be converted into double" &&
      ferrite.type !== "error",
  },
  {
    reason: "The same encodings, of what DUMP wrote and the other server restored.",
    dataMayDiffer: false,
    matches: (step, redis, ferrite) =>
      /^DUMP$/i.test(step.args[0]!) &&
      redis.type === "array" &&
      ferrite.type === "array" &&
      redis.value.length === ferrite.value.length &&
      redis.value.every((one, i) => show(one) === show(ferrite.value[i]!) || isSmall(one, ferrite.value[i]!)),
  },
  {
    reason:
      "XREAD and XREADGROUP name the ids that they know in the text of one error, as Redis 7.2 and later do: their own name " +
      "in lower case, and '+' since 7.4.",
    dataMayDiffer: false,
    matches: (step, redis, ferrite) =>
      /^XREAD/i.test(step.args[0]!) &&
      redis.type === "error" &&
      redis.value.startsWith("ERR Unbalanced") &&
      ferrite.type === "error" &&
      ferrite.value.startsWith("ERR Unbalanced"),
  },
  {
    reason: "XSETID refuses an id below the greatest one that was deleted, as Redis 7.2 and later do.",
    dataMayDiffer: true,
    matches: (step, _redis, ferrite) =>
      /^XSETID$/i.test(step.args[0]!) && ferrite.type === "error" && ferrite.value.endsWith("max_deleted_entry_id"),
  },
  {
    reason:
      "GEORADIUS, GEOSEARCH: which of several members at one place comes first, or is among COUNT, depends in Redis on a sort " +
      "that does not keep their order.",
    dataMayDiffer: false,
    matches: (step, redis, ferrite) =>
      /^GEO(RADIUS|SEARCH)/i.test(step.args[0]!) &&
      redis.type === "array" &&
      ferrite.type === "array" &&
      redis.value.length === ferrite.value.length &&
      redis.value.every((one, i) => isSamePlace(one, ferrite.value[i]!)),
  },
];

/** True when two items of a reply have the same distance, hash and coordinates, and differ in the member only. */
function isSamePlace(redis: Reply, ferrite: Reply): boolean {
  if (redis.type !== "array" || ferrite.type !== "array" || redis.value.length < 2) return false;
  return redis.value.slice(1).map(show).join() === ferrite.value.slice(1).map(show).join();
}
