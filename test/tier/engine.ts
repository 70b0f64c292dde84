/**
 * An engine with a disk tier over files in memory. Whatever other threads do, and what is left to later turns, happens in
 * `settle`, so that a test decides when the disk answers. With hybridlog sizes of 0 every string of 16 bytes or more goes to disk.
 */
import type { ConfigValue } from "../../src/base/config/values.ts";
import { MemoryFiles } from "../../src/base/files.ts";
import type { DiskTier } from "../../src/tier/disk-tier.ts";
import { prepareDirectory, segmentName } from "../../src/tier/segment-files.ts";
import { testEngine, type TestEngine } from "../support/engine.ts";
import { encodeCommand, show } from "../support/resp.ts";

export const DATA = "/data";

export interface TierOptions {
  /** All files are in the page cache. */
  isCached?: boolean;
  settings?: Record<string, ConfigValue>;
  regions?: number;
  shards?: number;
}

export class TierEngine {
  readonly files = new MemoryFiles(7, []);
  readonly test: TestEngine;
  readonly tier: DiskTier;
  readonly warnings: string[] = [];
  private readonly later: (() => void)[] = [];

  constructor(options: TierOptions = {}) {
    const { files } = this;
    prepareDirectory(files, DATA, () => false);
    this.test = testEngine({ files, regions: options.regions ?? 4, shards: options.shards ?? 4 });
    const { engine, config } = this.test;
    const settings: Record<string, ConfigValue> = {
      "storage.tiering": true,
      "storage.data_dir": DATA,
      "storage.hybridlog_mutable_size": 0,
      "storage.hybridlog_readonly_size": 0,
      "storage.tier_min_value_size": 16,
      ...options.settings,
    };
    for (const [name, value] of Object.entries(settings))
      config.place(name as "storage.tiering", value as boolean, { kind: "flag", text: "test" });
    engine.memory.configure();
    const queue = (work: () => void): void => {
      this.later.push(work);
    };
    engine.startTier(files, 1, {
      later: queue,
      soon: queue,
      warn: (text) => this.warnings.push(text),
      readCached: (file, into, length, position) =>
        options.isCached === true ? files.read(file, into, 0, length, position) : -1,
      ring: null,
      watchRing: () => {},
    });
    this.tier = engine.tier!;
  }

  send(...args: (string | number)[]): string {
    return this.test.send(...args);
  }

  /** Sends a command whose reply may have to wait for the disk. */
  wait(...args: (string | number)[]): string {
    const { client } = this.test;
    client.client.receive(encode(args));
    this.settle();
    const replies = client.raw("");
    if (replies.length !== 1) throw new Error(`${replies.length} replies to ${args[0]}`);
    this.test.check();
    return show(replies[0]!);
  }

  /** The disk answers, and everything that follows from that is done. Returns the number of its answers. */
  settle(): number {
    let answers = 0;
    for (let rounds = 0; rounds < 10_000; rounds++) {
      this.test.runTurns();
      const calls = this.files.settle();
      const works = this.later.splice(0);
      for (const work of works) work();
      answers += calls;
      if (calls === 0 && works.length === 0) return answers;
    }
    throw new Error("the disk tier does not come to rest");
  }

  /** Does once what was left to later turns. */
  runLater(): void {
    for (const work of this.later.splice(0)) work();
  }

  /** Background work is done, and the disk answers: nearly all values are on disk then. */
  spill(): void {
    for (let round = 0; round < 3; round++) {
      this.test.advance(100);
      this.tier.tick();
      this.settle();
    }
  }

  /** Has files compacted until none is due. */
  compact(): void {
    this.test.clock.advance(1_000_000);
    for (let round = 0; round < 500; round++) {
      this.tier.tick();
      this.settle();
    }
  }

  tierOf(key: string): string {
    return this.send("OBJECT", "TIER", key);
  }
  pathOf(file: number): string {
    return `${DATA}/segments/${segmentName(file)}`;
  }
  get segmentFiles(): string[] {
    return this.files.list(`${DATA}/segments`);
  }
  /** Bytes of all segment files. */
  get diskBytes(): number {
    return this.segmentFiles.reduce((sum, name) => sum + this.files.stat(`${DATA}/segments/${name}`)!.bytes, 0);
  }
}

function encode(args: readonly (string | number)[]): Buffer {
  return encodeCommand(args);
}
