/**
 * Goal:   a worker hears of all reads that end, whatever their number, with nothing else to wake it.
 * Method: many reads of the disk through a ring whose watch alone collects them. In one round they come as they like, in the other all
 *         have ended before the thread looks. A wake-up that is lost leaves the test hanging until its time is over.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realFiles, writeFully } from "../../src/base/files.ts";
import { IoRing } from "../../src/memory/io-ring.ts";
import { dropCached, readCached } from "../../src/memory/native.ts";
import { RingWatch } from "../../src/server/ring-watch.ts";
import { PoolReads, RingReads } from "../../src/tier/entry-reads.ts";

const BYTES = 8 << 20;
const RING = 128;
const READS = 120;
const PAGE = 4096;
/** The kernel works on so many reads in a call. */
const AT_ONCE = 20;

const ring = IoRing.open(RING);
// A container may forbid io_uring.
if (ring !== null) {
  test("every read that ends is heard of", async () => {
    const directory = mkdtempSync(join(tmpdir(), "ferrite-watch-"));
    const path = join(directory, "data");
    const made = realFiles.open(path, "w", 0o600);
    writeFully(realFiles, made, Buffer.alloc(BYTES, "ferrite"));
    realFiles.fsync(made);
    realFiles.close(made);
    const file = realFiles.open(path, "r", 0);
    const watch = new RingWatch(ring, () => reads.collect());
    const host = { later: (work: () => void) => void setImmediate(work), watch: () => watch.begin() };
    const reads = new RingReads(ring, new PoolReads(realFiles), host);
    const positions = Array.from({ length: READS }, (_, n) => ((n * 7919) % (BYTES / PAGE)) * PAGE);
    const newPage = (): Uint8Array => new Uint8Array(new ArrayBuffer(PAGE));
    for (const waits of [false, true]) {
      dropCached(file);
      let heard = 0;
      await new Promise<void>((resolve) => {
        const ended = (failure: string, bytes: number): void => {
          expect([failure, bytes]).toEqual(["", PAGE]);
          if (++heard === READS) resolve();
        };
        for (const position of positions)
          reads.begin({ descriptor: file, into: newPage(), bytes: PAGE, position, ended });
        reads.submit();
        const into = newPage();
        const isThere = (position: number): boolean => readCached(file, into, PAGE, position) === PAGE;
        while (waits && !positions.every(isThere)) Bun.sleepSync(1);
        if (!waits) return;
        reads.collect();
        expect(heard).toBeGreaterThan(AT_ONCE * 2);
      });
      expect([heard, ring.underWay]).toEqual([READS, 0]);
    }
    realFiles.close(file);
    rmSync(directory, { recursive: true });
  });
}
