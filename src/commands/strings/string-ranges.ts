/** STRLEN, APPEND, SETRANGE, GETRANGE: the length and parts of a string. */
import { Status } from "../../base/status.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { Encoding, RecordType } from "../../store/record.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { PLAIN } from "../../store/store.ts";
import type { Call } from "../../dispatch/call.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import { isTooLong, replyChunked, storeArgument, writeArgument } from "./strings.ts";

/** STRLEN key. Replies: the length in bytes, 0 when there is no such key. */
export function strlen(call: Call, reply: Reply): void {
  const { store } = call;
  if (store.findForRead() === NO_ADDRESS) return reply.integer(0);
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  reply.integer(call.strings.lengthFound);
}

/** APPEND key value. Replies: the new length. */
export function append(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const staged = call.stagedArgument(2);
  const length = staged === null ? call.argBytes(2) : staged.total;
  if (store.find() === NO_ADDRESS) {
    const status = storeArgument(call, 2, 0, PLAIN);
    if (status < 0) return refuse(call, reply, status);
    return reply.integer(length);
  }
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  const had = call.strings.lengthFound;
  if (isTooLong(call, had + length)) return reply.status(Status.TooLong);
  const total = writeArgument(call, 2, had);
  if (total < 0) return refuse(call, reply, total);
  reply.integer(total);
}

/** SETRANGE key offset value. Replies: the new length of the string. */
export function setrange(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const position = call.argLong(2);
  if (Number.isNaN(position)) return reply.error(ErrorText.notInteger);
  if (position < 0) return reply.error(ErrorText.offsetOutOfRange);
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const found = store.find() !== NO_ADDRESS;
  if (found && store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  const staged = call.stagedArgument(3);
  const length = staged === null ? call.argBytes(3) : staged.total;
  if (length === 0) return reply.integer(found ? call.strings.lengthFound : 0);
  if (isTooLong(call, position + length)) return reply.status(Status.TooLong);
  const total = writeArgument(call, 3, position);
  if (total < 0) return refuse(call, reply, total);
  reply.integer(total);
}

/** GETRANGE key start end. Replies: the bytes from start to end, inclusive. Negative offsets count from the end. */
export function getrange(call: Call, reply: Reply): void {
  const { store } = call;
  let start = call.argLong(2);
  if (Number.isNaN(start)) return reply.error(ErrorText.notInteger);
  let end = call.argLong(3);
  if (Number.isNaN(end)) return reply.error(ErrorText.notInteger);
  if (store.findForRead() === NO_ADDRESS) return reply.constant(EMPTY_BULK);
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  const length = call.strings.lengthFound;
  if (call.isEmptyFromEnd(2, start, 3, end)) return reply.constant(EMPTY_BULK);
  if (start < 0) start = Math.max(start + length, 0);
  if (end < 0) end = Math.max(end + length, 0);
  if (end >= length) end = length - 1;
  if (start > end) return reply.constant(EMPTY_BULK);
  if (store.cursor.encoding === Encoding.Chunked) {
    replyChunked(call, reply, store.cursor.shard, store.cursor.node, start, end - start + 1);
    return;
  }
  call.strings.open();
  reply.bulk(call.strings.bytes, call.strings.at + start, end - start + 1);
}
const EMPTY_BULK = Buffer.from("$0\r\n\r\n");
