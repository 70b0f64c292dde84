/** Memory: makes the shared memory of a server, which is the control block and the regions. */
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
}

/** Regions for which the control block has room, so that max_memory can be raised later. Costs entries of the chunk table. */
const REGIONS_MAX = 1024;

export class Memory {
  readonly control: Control;
  readonly regions: SharedArrayBuffer[] = [];
  readonly arena: Arena;
  readonly pool: FramePool;

  constructor(private readonly options: MemoryOptions) {
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

  /** Called when the system has refused memory. No further region is made until `allowRegions` is called again. */
  stopGrowing(): void {
    this.allowRegions(this.regions.length);
    this.pool.growthFailed();
  }

  get mayGrow(): boolean {
    return this.regions.length < Atomics.load(this.control.i32, REGIONS_WANTED_AT);
  }

  /** Makes a region that no frame is allocated from yet. Returns its number. */
  makeRegion(): number {
    const buffer = new SharedArrayBuffer(this.options.regionBytes);
    if (this.options.hugePages) adviseHugePages(new Uint8Array(buffer));
    this.regions.push(buffer);
    this.arena.attach(this.regions.length - 1, buffer);
    return this.regions.length - 1;
  }

  /** Makes another region and adds it to the pool. For the embedded mode: a server first announces it to its workers. */
  grow(): boolean {
    if (!this.mayGrow) return false;
    this.pool.addRegion(this.makeRegion());
    return true;
  }

  get regionCount(): number {
    return Atomics.load(this.control.i32, REGION_COUNT_AT);
  }
}
