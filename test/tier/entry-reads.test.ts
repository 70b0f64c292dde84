/**
 * Goal:   through io_uring every read gets the bytes of its place in the file, also when there are more reads than the ring has room
 *         for; what it cannot read ends as it does with a thread of the pool; rings do not disturb each other.
 * Method: real files, whose bytes tell their place, out of the page cache at first, and small rings.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FileDescriptor, realFiles, writeFully } from "../../src/base/files.ts";
import { IoRing } from "../../src/memory/io-ring.ts";
import { dropCached } from "../../src/memory/native.ts";
import { type EntryRead, type EntryReads, PoolReads, RingReads } from "../../src/tier/entry-reads.ts";
import { SeededRandom, testSeed } from "../support/random.ts";

const BYTES = 4 << 20;
const RING = 8;
const LENGTH_MAX = 20_000;
const PAUSE_MS = 1;

let directory: string;
let path: string;
let file: FileDescriptor;
const content = new Uint32Array(BYTES / 4);
const bytes = Buffer.from(content.buffer);
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ferrite-ring-"));
  path = join(directory, "data");
  for (let n = 0; n < content.length; n++) content[n] = Math.imul(n, 2654435761);
  const made = realFiles.open(path, "w", 0o600);
  writeFully(realFiles, made, bytes);
  realFiles.fsync(made);
  realFiles.close(made);
  file = realFiles.open(path, "r", 0);
});
afterAll(() => {
  realFiles.close(file);
  rmSync(directory, { recursive: true });
});

/** Ends a read in a promise. */
class Read implements EntryRead {
  readonly into: Uint8Array;
  private readonly ending = Promise.withResolvers<{ failure: string; bytes: number }>();
  readonly done = this.ending.promise;

  constructor(
    readonly position: number,
    readonly bytes: number,
    readonly descriptor = file,
  ) {
    this.into = new Uint8Array(new ArrayBuffer(bytes));
  }
  ended(failure: string, count: number): void {
    this.ending.resolve({ failure, bytes: count });
  }
}

interface Ringed {
  reads: EntryReads;
  ring: IoRing;
  /** Calls of `watch`. */
  watched: number;
}

function ringed(): Ringed {
  const pool = new PoolReads(realFiles);
  const ring = IoRing.open(RING)!;
  const all: Ringed = { ring, watched: 0, reads: pool };
  all.reads = new RingReads(ring, pool, { later: (work) => setImmediate(work), watch: () => all.watched++ });
  return all;
}

async function endOf({ reads, ring }: Ringed, all: readonly Read[]): Promise<{ failure: string; bytes: number }[]> {
  const ends = Promise.all(all.map(({ done }) => done));
  let isOver = false;
  void ends.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    reads.collect();
    await Bun.sleep(PAUSE_MS);
  }
  expect(ring.underWay).toBe(0);
  return ends;
}

function isRight({ into, position }: Read): boolean {
  return Buffer.compare(into, bytes.subarray(position, position + into.length)) === 0;
}

// A container may forbid io_uring. test/blackbox/tier-reads.test.ts then shows that the pool reads.
const probe = IoRing.open(RING);
probe?.close();
if (probe !== null) {
  test("random reads of two rings, more than they have room for, from the disk and from the page cache", async () => {
    const random = new SeededRandom(testSeed());
    const rings = [ringed(), ringed()];
    for (const cold of [true, false]) {
      if (cold) dropCached(file);
      const reads = rings.map(() =>
        Array.from({ length: RING * 20 }, () => {
          const length = 1 + random.below(LENGTH_MAX);
          return new Read(random.below(BYTES - length), length);
        }),
      );
      rings.forEach(({ reads: of }, n) => {
        for (const read of reads[n]!) of.begin(read);
      });
      expect(rings.map(({ ring }) => ring.underWay)).toEqual([RING, RING]);
      for (const [n, ring] of rings.entries()) {
        const ends = await endOf(ring, reads[n]!);
        expect(ends).toEqual(reads[n]!.map((read) => ({ failure: "", bytes: read.bytes })));
        expect(reads[n]!.every(isRight)).toBe(true);
      }
    }
    for (const { ring } of rings) ring.close();
  });

  test("reads begin after the events at hand, without another call, and somebody is asked to watch", async () => {
    dropCached(file);
    const all = ringed();
    const read = new Read(BYTES >> 1, 5000);
    all.reads.begin(read);
    expect([all.ring.hasQueued, all.watched]).toEqual([true, 0]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(all.ring.hasQueued).toBe(false);
    // Unless the disk was faster.
    expect(all.watched === 1 || all.ring.underWay === 0).toBe(true);
    await endOf(all, [read]);
    expect(isRight(read)).toBe(true);
    all.ring.close();
  });

  test("a short file, and what is no file, end as with the pool", async () => {
    const folder = realFiles.open(directory, "r", 0);
    const make = (): Read[] => [
      new Read(BYTES - 100, 300),
      new Read(BYTES + 8, 10),
      new Read(0, 10, folder),
      new Read(0, 8),
    ];
    const pool = new PoolReads(realFiles);
    const byPool = make();
    for (const read of byPool) pool.begin(read);
    const expected = await Promise.all(byPool.map(({ done }) => done));
    expect(expected.map(({ bytes: count }) => count)).toEqual([100, 0, 0, 8]);
    expect(expected[2]!.failure).toContain("Is a directory");
    const all = ringed();
    const byRing = make();
    for (const read of byRing) all.reads.begin(read);
    expect(await endOf(all, byRing)).toEqual(expected);
    realFiles.close(folder);
    all.ring.close();
  });

  test("a kernel that takes no reads: they stay queued, in their order, until it does", async () => {
    const all = ringed();
    const { enter } = all.ring;
    all.ring.enter = () => {};
    const reads = Array.from({ length: RING * 2 }, (_, n) => new Read(n * 100, 100));
    for (const read of reads) all.reads.begin(read);
    all.reads.submit();
    expect([all.ring.underWay, all.ring.hasQueued]).toEqual([RING, true]);
    all.ring.enter = enter;
    await endOf(all, reads);
    expect(reads.every(isRight)).toBe(true);
    all.ring.close();
  });
}
