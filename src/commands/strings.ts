/** The string family. */
import type { Reply } from "../protocol/reply.ts";
import { Encoding, RecordType } from "../store/record.ts";
import { NO_ADDRESS } from "../store/segments.ts";
import { Status } from "../base/status.ts";
import type { Call } from "./call.ts";
import { type CommandSpec, DENY_OOM, FAST, FIRST, type Outcome, READONLY, Retry, STAGES, WRITE } from "./spec.ts";

export const stringsFamily: readonly CommandSpec[] = [
  {
    name: "GET",
    arity: 2,
    keys: FIRST,
    flags: READONLY | FAST,
    categories: ["string"],
    run: get,
    docs: { summary: "Returns the string value of a key.", since: "1.0.0", group: "string", complexity: "O(1)" },
  },
  {
    name: "SET",
    arity: -3,
    keys: FIRST,
    flags: WRITE | DENY_OOM | STAGES,
    categories: ["string"],
    run: set,
    docs: { summary: "Sets the string value of a key.", since: "1.0.0", group: "string", complexity: "O(1)" },
  },
];

function get(call: Call, reply: Reply): void {
  const { store } = call;
  if (store.findForRead() === NO_ADDRESS) return reply.nullBulk();
  if (store.type !== RecordType.String) return reply.status(Status.WrongType);
  if (store.encoding === Encoding.Raw) reply.bulk(store.b, store.rawAt, store.valueBytes);
  else if (store.encoding === Encoding.Int) reply.bulkInt64(store.intLow, store.intHigh);
}

function set(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const prepared = store.prepareInsert();
  if (prepared < 0) return Retry;
  store.find();
  const status = store.setString(call.bytes, call.argAt(2), call.argBytes(2), 0);
  if (status === Status.Busy) return Retry;
  if (status < 0) return reply.status(status);
  reply.ok();
}
