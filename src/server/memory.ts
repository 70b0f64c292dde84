/** Memory: makes the shared memory of a server, which is the control block and the regions. */
import { errorMessage } from "../base/errors.ts";
import { keyspacesOf, Control, REGION_COUNT_AT, REGIONS_WANTED_AT } from "../memory/control.ts";
import { Arena } from "../memory/arena.ts";
import { FramePool } from "../memory/frame-pool.ts";
import { adviseHugePages } from "../memory/native.ts";
import { Keyspaces } from "../store/keyspaces.ts";
import { shardWords } from "../store/shard.ts";

export interface MemoryOptions {
  shards: number;
  /** Worker slots. */
  workers: number;
  databases: number;
  regionBytes: number;
  /** Most regions at first. `allowRegions` changes it. */
  regions: number;
  seedA: number;
  seedB: number;
  hugePages: boolean;
  /** Asks the system for the bytes of a region, and throws when it refuses. Left out: a SharedArrayBuffer. */
  allocate?: (bytes: number) => SharedArrayBuffer;
}

/** Regions for which the control block has room, so that max_memory can be raised later. Costs entries of the chunk table. */
const REGIONS_MAX = 1024;

export class Memory {
  readonly control: Control;
  readonly regions: SharedArrayBuffer[] = [];
  readonly arena: Arena;
  readonly pool: FramePool;
  /** Why the system refused the last region, "" = it has not refused one. */
  refusal = "";
  private readonly allocate: (bytes: number) => SharedArrayBuffer;

  constructor(private readonly options: MemoryOptions) {
    this.allocate = options.allocate ?? ((bytes) => new SharedArrayBuffer(bytes));
    this.control = Control.create({
      shards: options.shards,
      workers: options.workers,
      databases: options.databases,
      regionsMax: REGIONS_MAX,
      regionBytes: options.regionBytes,
      shardWords: shardWords(keyspacesOf(options.databases)),
      seedA: options.seedA,
      seedB: options.seedB,
    });
    new Keyspaces(this.control).initialize();
    this.arena = new Arena(this.control, () => {
      throw new Error("the main thread has attached every region that it made");
    });
    this.allowRegions(options.regions);
    this.pool = this.addFirst();
  }

  private addFirst(): FramePool {
    const region = this.makeRegion();
    const pool = new FramePool(this.arena);
    pool.addRegion(region);
    return pool;
  }

  /** Sets the largest number of regions. */
  allowRegions(regions: number): void {
    Atomics.store(this.control.i32, REGIONS_WANTED_AT, Math.min(Math.max(regions, 1), REGIONS_MAX));
  }

  get mayGrow(): boolean {
    return this.regions.length < Atomics.load(this.control.i32, REGIONS_WANTED_AT);
  }

  /**
   * As `makeRegion`. Returns -1 when the system refuses the memory, with the reason in `refusal`. Writes that need more memory
   * are then refused with OOM, and no further region is made until `allowRegions` is called again.
   */
  tryMakeRegion(): number {
    try {
      return this.makeRegion();
    } catch (thrown) {
      this.refusal = errorMessage(thrown);
      this.allowRegions(this.regions.length);
      this.pool.growthFailed();
      return -1;
    }
  }

  /** Makes a region that no frame is allocated from yet. Returns its number. */
  private makeRegion(): number {
    const buffer = this.allocate(this.options.regionBytes);
    if (this.options.hugePages) adviseHugePages(new Uint8Array(buffer));
    this.regions.push(buffer);
    this.arena.attach(this.regions.length - 1, buffer);
    return this.regions.length - 1;
  }

  /** Makes sure that there are `count` regions. Before any other thread knows them. */
  growTo(count: number): void {
    while (this.regions.length < Math.min(count, REGIONS_MAX)) this.pool.addRegion(this.makeRegion());
  }

  /** Makes another region and adds it to the pool. For the embedded mode: a server first announces it to its workers. */
  grow(): boolean {
    const region = this.mayGrow ? this.tryMakeRegion() : -1;
    if (region !== -1) this.pool.addRegion(region);
    return region !== -1;
  }

  get regionCount(): number {
    return Atomics.load(this.control.i32, REGION_COUNT_AT);
  }
}
