/** Makes the shared memory of a server: the control block and the regions. */
import { keyspacesOf, Control, REGION_COUNT_AT, REGIONS_WANTED_AT } from "../memory/control.ts";
import { Arena } from "../memory/arena.ts";
import { FramePool } from "../memory/frame-pool.ts";
import { adviseHugePages } from "../memory/native.ts";
import { Keyspaces } from "../store/maintenance.ts";
import { shardWords } from "../store/shard.ts";

export interface MemoryOptions {
  shards: number;
  /** Worker slots. */
  workers: number;
  databases: number;
  regionBytes: number;
  /** Most regions there may be at first; raised by `allowRegions`. */
  regions: number;
  seedA: number;
  seedB: number;
  hugePages: boolean;
}

/** Address space kept for regions that may come later, when max_memory is raised: entries of the chunk table only. */
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
    new Keyspaces(this.control, keyspacesOf(options.databases)).initialize();
    this.arena = new Arena(this.control, () => {
      throw new Error("the maker of regions knows them all");
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

  /** Sets how many regions there may be. */
  allowRegions(regions: number): void {
    Atomics.store(this.control.i32, REGIONS_WANTED_AT, Math.min(Math.max(regions, 1), REGIONS_MAX));
  }

  /** The system has no more to give: there will be no further region unless the limit is set anew. */
  stopGrowing(): void {
    this.allowRegions(this.regions.length);
    this.pool.growthFailed();
  }

  get mayGrow(): boolean {
    return this.regions.length < Atomics.load(this.control.i32, REGIONS_WANTED_AT);
  }

  /** Makes a region, not announced yet. Returns its number. */
  makeRegion(): number {
    const buffer = new SharedArrayBuffer(this.options.regionBytes);
    if (this.options.hugePages) adviseHugePages(new Uint8Array(buffer));
    this.regions.push(buffer);
    this.arena.attach(this.regions.length - 1, buffer);
    return this.regions.length - 1;
  }

  /** Makes another region at once and puts it to use (embedded; the server announces it to its workers first). */
  grow(): boolean {
    if (!this.mayGrow) return false;
    this.pool.addRegion(this.makeRegion());
    return true;
  }

  get regionCount(): number {
    return Atomics.load(this.control.i32, REGION_COUNT_AT);
  }
}
