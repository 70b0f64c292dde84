/**
 * ACL categories. They follow from the flags of a row (a write is @write, a command that is not @fast is @slow), plus those
 * that the row names.
 */
import { ADMIN, BLOCKING, type CommandSpec, FAST, READONLY, WRITE } from "./spec.ts";

/** All ACL categories, in the order Redis lists them. */
export const CATEGORIES = [
  "keyspace",
  "read",
  "write",
  "set",
  "sortedset",
  "list",
  "hash",
  "string",
  "bitmap",
  "hyperloglog",
  "geo",
  "stream",
  "pubsub",
  "admin",
  "fast",
  "slow",
  "blocking",
  "dangerous",
  "connection",
  "transaction",
  "scripting",
] as const;

/** ACL categories of a command, without "@". */
export function categoriesOf(spec: CommandSpec): string[] {
  const has = new Set<string>(spec.categories);
  if ((spec.flags & WRITE) !== 0) has.add("write");
  if ((spec.flags & READONLY) !== 0 && !has.has("scripting")) has.add("read");
  if ((spec.flags & ADMIN) !== 0) has.add("admin").add("dangerous");
  if ((spec.flags & BLOCKING) !== 0) has.add("blocking");
  has.add((spec.flags & FAST) !== 0 ? "fast" : "slow");
  return CATEGORIES.filter((name) => has.has(name));
}
