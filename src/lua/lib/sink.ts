/**
 * Where cjson, cmsgpack and struct put the bytes that they make. There is one for the thread, because none of them calls back.
 * Bytes become a string once, at the end: half the time of adding strings up.
 */
import { charge } from "../limits.ts";

const INITIAL_BYTES = 4096;
/** A larger buffer is given back after use. */
const KEPT_BYTES_MAX = 1 << 20;
/** Growth above this size is charged. */
const CHARGED_MIN = 65_536;
/** Longer texts are copied by the engine; a loop is faster for shorter ones. */
const LOOP_MAX = 12;

class Sink {
  bytes: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  view = new DataView(this.bytes.buffer);
  at = 0;

  /** Makes room for `count` further bytes. Every writer calls it before it writes. */
  reserve(count: number): void {
    if (this.at + count > this.bytes.length) this.#grow(this.at + count);
  }

  #grow(needed: number): void {
    const size = Math.max(needed, 2 * this.bytes.length);
    if (size > CHARGED_MIN) charge(size);
    const bytes = Buffer.allocUnsafeSlow(size);
    this.bytes.copy(bytes, 0, 0, this.at);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.at++] = value;
  }

  text(text: string): void {
    const length = text.length;
    this.reserve(length);
    if (length > LOOP_MAX) this.bytes.write(text, this.at, "latin1");
    else for (let i = 0; i < length; i++) this.bytes[this.at + i] = text.charCodeAt(i);
    this.at += length;
  }

  /** The digits of a whole number below 10,000. */
  decimal(number: number): void {
    this.reserve(4);
    const { bytes } = this;
    let at = this.at;
    if (number >= 1000) bytes[at++] = 48 + ((number / 1000) | 0);
    if (number >= 100) bytes[at++] = 48 + (((number / 100) | 0) % 10);
    if (number >= 10) bytes[at++] = 48 + (((number / 10) | 0) % 10);
    bytes[at++] = 48 + (number % 10);
    this.at = at;
  }

  zeros(count: number): void {
    this.reserve(count);
    this.bytes.fill(0, this.at, this.at + count);
    this.at += count;
  }

  /** All bytes as a string. The sink is empty then. */
  take(): string {
    const text = this.bytes.toString("latin1", 0, this.at);
    this.clear();
    return text;
  }

  /** Forgets what an unfinished piece of work has left. */
  clear(): void {
    this.at = 0;
    if (this.bytes.length <= KEPT_BYTES_MAX) return;
    this.bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
    this.view = new DataView(this.bytes.buffer);
  }
}

export const sink = new Sink();
