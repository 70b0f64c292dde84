/** Figures of the disk tier: each worker publishes its own in its cells, and INFO and the metrics sum them. */
import type { Config } from "../base/config/config.ts";
import type { TierFigures } from "../dispatch/services.ts";
import { ENTRY_UNIT_BYTES } from "../store/cold.ts";
import type { ColdFiles } from "../store/cold-files.ts";
import type { Store } from "../store/store.ts";
import type { DiskTier } from "../tier/disk-tier.ts";
import { Cell, type Cells } from "./cells.ts";

export function publishTier(cells: Cells, store: Store, { reader, writer, compactor }: DiskTier): void {
  const { cold } = store;
  cells.set(Cell.coldReads, cold.reads);
  cells.set(Cell.coldPromotions, cold.promotions);
  cells.set(Cell.coldDiskReads, reader.reads);
  cells.set(Cell.coldDiskReadsNow, reader.readsNow);
  cells.set(Cell.coldReadsCached, reader.readsCached);
  cells.set(Cell.coldUnderWay, reader.underWay);
  cells.set(Cell.coldReadFailures, reader.failures);
  cells.set(Cell.coldSpilled, writer.spilled);
  cells.set(Cell.coldSpilledBytes, writer.spilledBytes);
  cells.set(Cell.coldWrittenBytes, writer.writtenBytes);
  cells.set(Cell.coldPendingBytes, writer.pendingBytes);
  cells.set(Cell.coldWriteFailures, writer.failures);
  cells.set(Cell.coldCompactedFiles, compactor.compacted);
  cells.set(Cell.coldMovedBytes, writer.movedBytes);
  cells.set(Cell.coldWritesUnderWay, writer.writesUnderWay);
  cells.set(Cell.coldWaits, cold.waits.parked);
  cells.set(Cell.coldWaitedMs, cold.waits.parkedMs);
}

export function tierFigures(cells: Cells, files: ColdFiles, config: Config): TierFigures {
  const totals = files.totals(config.number("storage.compaction_threshold"));
  return {
    files: totals.files,
    fileBytes: totals.writtenUnits * ENTRY_UNIT_BYTES,
    liveBytes: totals.liveUnits * ENTRY_UNIT_BYTES,
    values: totals.records,
    reads: cells.sum(Cell.coldReads),
    promotions: cells.sum(Cell.coldPromotions),
    diskReads: cells.sum(Cell.coldDiskReads),
    diskReadsNow: cells.sum(Cell.coldDiskReadsNow),
    cacheReads: cells.sum(Cell.coldReadsCached),
    underWay: cells.sum(Cell.coldUnderWay),
    readFailures: cells.sum(Cell.coldReadFailures),
    spilled: cells.sum(Cell.coldSpilled),
    spilledBytes: cells.sum(Cell.coldSpilledBytes),
    writtenBytes: cells.sum(Cell.coldWrittenBytes),
    pendingBytes: cells.sum(Cell.coldPendingBytes),
    writeFailures: cells.sum(Cell.coldWriteFailures),
    compactedFiles: cells.sum(Cell.coldCompactedFiles),
    movedBytes: cells.sum(Cell.coldMovedBytes),
    debtBytes: totals.debtUnits * ENTRY_UNIT_BYTES,
    oldestFile: totals.oldest,
    newestFile: totals.newest,
    writesUnderWay: cells.sum(Cell.coldWritesUnderWay),
    waits: cells.sum(Cell.coldWaits),
    waitedMs: cells.sum(Cell.coldWaitedMs),
    diskBytesMax: config.number("storage.max_disk"),
  };
}
