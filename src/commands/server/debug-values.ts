/** DEBUG SDSLEN, LISTPACK, QUICKLIST and HTSTATS-KEY: how the value of a key lies in memory. */
import { NO_ADDRESS } from "../../store/address.ts";
import { Encoding, RecordType, capacityUnits, keyBytes, spareBits } from "../../store/record.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { encodingName } from "../../store/collections.ts";
import type { Call } from "../../dispatch/call.ts";
import { type Outcome, Retry } from "../../dispatch/spec.ts";

const UNIT_BYTES = 8;
const NOT_HASHED = "ERR The value stored at the specified key is not represented using an hash table";

/** Runs `describe` on the record of argument 2, under its lock. It replies. */
function withFound(call: Call, reply: Reply, describe: () => void): Outcome | void {
  const { store, key } = call;
  if (!key.load(call.bytes, call.argAt(2), call.argBytes(2))) return reply.error(ErrorText.noSuchKey);
  const isEntered = store.section.within(store.shardOf(key.hashA), () => {
    store.select(call.keyspaces.of(call.session.db), key);
    if (store.find() === NO_ADDRESS) reply.error(ErrorText.noSuchKey);
    else describe();
  });
  if (!isEntered) return Retry;
}

/** The encoding of the collection found; "" for a string. */
function collectionEncoding(call: Call): string {
  const { store } = call;
  return store.cursor.type === RecordType.String
    ? ""
    : encodingName(store.cursor.type, spareBits(store.cursor.m, store.cursor.w));
}

/** DEBUG SDSLEN key: a key and its string lie in one record, whose bytes are told for the value. */
export function stringLengths(call: Call, reply: Reply): Outcome | void {
  return withFound(call, reply, () => {
    const { store } = call;
    if (store.cursor.type !== RecordType.String || store.cursor.storedEncoding === Encoding.Int) {
      return reply.error("ERR Not an sds encoded string.");
    }
    const name = keyBytes(store.cursor.m, store.cursor.w);
    const length = call.strings.lengthFound;
    const record = capacityUnits(store.cursor.m, store.cursor.w) * UNIT_BYTES;
    const spare = store.cursor.storedEncoding === Encoding.Chunked ? 0 : Math.max(0, record - name - length);
    reply.simple(
      `key_sds_len:${name}, key_sds_avail:0, key_zmalloc: 0, val_sds_len:${length}, val_sds_avail:${spare}, val_zmalloc: ${record}`,
    );
  });
}

/** DEBUG LISTPACK key, DEBUG QUICKLIST key [detail]: writes the form and size of a collection of this encoding to the log. */
export function logCollection(call: Call, reply: Reply, encoding: "listpack" | "quicklist"): Outcome | void {
  return withFound(call, reply, () => {
    if (collectionEncoding(call) !== encoding) return reply.error(`ERR Not a ${encoding} encoded object.`);
    const value = call.collections.openFound();
    const where = value.isTree ? "a tree" : "one page";
    call.server.logs
      ?.target("commands")
      .warn(
        `DEBUG ${encoding.toUpperCase()}: ${value.entries.count} entries in ${where}, ${call.store.cursor.valueBytes + value.wholeBytes} bytes`,
      );
    reply.simple(`${encoding === "listpack" ? "Listpack" : "Quicklist"} structure printed on stdout`);
  });
}

/** DEBUG HTSTATS-KEY key [FULL]: the pages of a collection that Redis would keep in a hash table. */
export function collectionStats(call: Call, reply: Reply): Outcome | void {
  return withFound(call, reply, () => {
    const encoding = collectionEncoding(call);
    if (encoding !== "hashtable" && encoding !== "skiplist") return reply.error(NOT_HASHED);
    const value = call.collections.openFound();
    const lines = [
      `[${encoding === "hashtable" ? "Members" : "Members by score, and by name"}]`,
      ` number of elements: ${value.entries.count}`,
      ` bytes: ${call.store.cursor.valueBytes + value.wholeBytes}`,
    ];
    if (value.isTree) {
      value.trees.forEach((tree, i) => {
        if (tree.count > 0)
          lines.push(` tree ${i}: ${tree.count} entries in ${tree.pagesFrom(0)} pages, height ${tree.height}`);
      });
    }
    reply.verbatim(`${lines.join("\n")}\n`);
  });
}
