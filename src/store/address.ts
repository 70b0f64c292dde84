/**
 * Address: where a record or a heap block of a shard lies.
 *
 *   address (32 bits) │ 0 │ segment number (14) │ offset in 8-byte units (17) │     0 = none
 *
 * The top bit stays 0, so an address is positive and a negative number can be a Status. Segments (segments.ts) finds the
 * memory of an address; this file says what its bits mean.
 */
import { assert } from "../base/assert.ts";
import { SEGMENTS } from "../memory/control.ts";
import type { Ref } from "../structures/pages.ts";

export type Address = number & { readonly __brand: "Address" };
export const NO_ADDRESS = 0 as Address;

export const UNIT_BITS = 17;
export const UNIT_MASK = (1 << UNIT_BITS) - 1;
const ADDRESS_MASK = SEGMENTS * (1 << UNIT_BITS) - 1;
assert(SEGMENTS <= 1 << (31 - UNIT_BITS), "an address is positive");

/** Bytes and words of a unit. */
export const UNIT_BYTES = 8;
const UNIT_WORD_SHIFT = 1;
export const UNIT_BYTE_SHIFT = 3;

export function addressOf(segment: number, unit: number): Address {
  return ((segment << UNIT_BITS) | unit) as Address;
}
/** Any word as an address, for readers without the lock: what they read may be no address. */
export function asAddress(word: number): Address {
  return (word & ADDRESS_MASK) as Address;
}
/** The address that a reference to a heap block is. */
export function heapAddress(ref: Ref): Address {
  return ref as Address;
}
/** The address `units` behind `address`, in the same segment. */
export function addressBehind(address: Address, units: number): Address {
  return (address + units) as Address;
}
export function segmentOf(address: Address): number {
  return address >>> UNIT_BITS;
}
/** Unit, word and byte of an address within its segment. */
export function unitOf(address: Address): number {
  return address & UNIT_MASK;
}
export function wordInSegment(address: Address): number {
  return (address & UNIT_MASK) << UNIT_WORD_SHIFT;
}
export function byteInSegment(address: Address): number {
  return (address & UNIT_MASK) << UNIT_BYTE_SHIFT;
}
