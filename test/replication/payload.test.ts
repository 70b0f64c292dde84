/**
 * Goal:   the file of a full synchronization comes out whole, whatever the packets are, and what follows it is left.
 * Method: both forms of payload, cut at every place and into packets of random lengths.
 */
import { describe, expect, test } from "bun:test";
import { PayloadReader, PayloadState } from "../../src/replication/payload.ts";
import { SeededRandom } from "../support/random.ts";

const MARK = "0123456789012345678901234567890123456789";

/** Reads a payload from packets. Returns the file, and the bytes that were left behind it. */
function read(packets: readonly Buffer[]) {
  const parts: Buffer[] = [];
  const reader = new PayloadReader((bytes, from, to) => parts.push(Buffer.from(bytes.subarray(from, to))));
  const left: Buffer[] = [];
  for (const packet of packets) {
    const taken = reader.state === PayloadState.Complete ? 0 : reader.receive(packet);
    if (taken < packet.length) left.push(packet.subarray(taken));
  }
  return { reader, file: Buffer.concat(parts), left: Buffer.concat(left).toString("latin1") };
}

describe("the payload of a full synchronization", () => {
  const file = Buffer.from(`REDIS0010${MARK.slice(0, 39)}x${MARK.slice(1)}\r\n\0\xff checksum`, "latin1");
  const forms = {
    counted: [`\n\n$${file.length}\r\n`, ""] as const,
    marked: [`\n\n$EOF:${MARK}\r\n`, MARK] as const,
  };

  for (const [name, [head, foot]] of Object.entries(forms)) {
    test(`${name}: cut at any place into two packets`, () => {
      const behind = name === "counted" ? "*1\r\n$4\r\nPING\r\n" : "";
      const whole = Buffer.concat([Buffer.from(head), file, Buffer.from(foot + behind)]);
      for (let cut = 0; cut <= whole.length; cut++) {
        const found = read([whole.subarray(0, cut), whole.subarray(cut)]);
        expect(found.reader.state).toBe(PayloadState.Complete);
        expect(found.file.equals(file)).toBe(true);
        expect(found.left).toBe(behind);
        expect(found.reader.bytes).toBe(file.length);
      }
    });

    test(`${name}: in packets of random lengths`, () => {
      const random = new SeededRandom(11);
      for (let round = 0; round < 300; round++) {
        const long = Buffer.from(Array.from({ length: random.below(400) }, () => MARK.charCodeAt(random.below(40))));
        const begin = name === "counted" ? `$${long.length}\r\n` : head;
        const whole = Buffer.concat([Buffer.from(begin), long, Buffer.from(foot)]);
        const packets: Buffer[] = [];
        for (let at = 0; at < whole.length; ) {
          const length = 1 + random.below(60);
          packets.push(whole.subarray(at, at + length));
          at += length;
        }
        const found = read(packets);
        expect(found.reader.state).toBe(PayloadState.Complete);
        expect(found.file.equals(long)).toBe(true);
      }
    });

    test(`${name}: one that is torn is not complete`, () => {
      const whole = Buffer.concat([Buffer.from(head), file, Buffer.from(foot)]);
      const { reader } = read([whole.subarray(0, -1)]);
      expect(reader.state).toBe(PayloadState.Receiving);
    });
  }

  test.each(["-ERR cannot\r\n", "+OK\r\n", "$EOF:short\r\n", "$x\r\n", `${"x".repeat(2000)}`])(
    "%p is no payload",
    (text) => {
      const { reader } = read([Buffer.from(text)]);
      expect(reader.state).toBe(PayloadState.Failed);
      expect(reader.failure).not.toBe("");
    },
  );

  test("a file of no bytes is complete at once", () => {
    expect(read([Buffer.from("$0\r\n")]).reader.state).toBe(PayloadState.Complete);
  });
});
