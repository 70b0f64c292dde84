/** Goal: a sync of the append-only file that takes over a second is counted and logged, with its length; a quick one is not. */
import { expect, test } from "bun:test";
import { type FileDescriptor, MemoryFiles } from "../../src/base/files.ts";
import { LogFilter, LogRoot, WARN } from "../../src/base/log.ts";
import { ChangeLog, HEAD_BYTES, LogState } from "../../src/memory/change-log.ts";
import { AofShare } from "../../src/persistence/aof-share.ts";
import { AofWriter } from "../../src/persistence/aof-writer.ts";
import { AppendState } from "../../src/persistence/append-state.ts";
import { SlowSyncs } from "../../src/persistence/slow-syncs.ts";
import { testEngine } from "../support/engine.ts";
import { encodeCommand } from "../support/resp.ts";

/** Files whose disk takes `syncMs` for a sync. */
class SlowFiles extends MemoryFiles {
  nowMs = 0;
  syncMs = 1;
  override fdatasync(file: FileDescriptor): void {
    this.nowMs += this.syncMs;
    super.fdatasync(file);
  }
}

test("slow syncs are logged when there were some, quick ones never", () => {
  const { control } = testEngine().memory;
  const files = new SlowFiles(1, []);
  const log = new ChangeLog(control, Buffer.alloc(HEAD_BYTES + (1 << 16)));
  log.begin(0);
  log.state = LogState.On;
  const file = files.open("/appendonly.aof", "a", 0o640);
  const writer = new AofWriter(files, file, 0, log, "0123456789abcdef", () => files.nowMs);
  writer.begin();
  const share = new AofShare(control);
  share.begin();

  const lines: { slow_syncs: number; longest_sync_ms: number }[] = [];
  const logs = new LogRoot({
    sink: { write: (line) => lines.push(JSON.parse(line)), close: () => {} },
    format: "json",
    filter: new LogFilter([{ target: "", level: WARN }]),
    threadName: "main",
    threadId: 0,
    showThreadName: false,
    showThreadId: false,
    showTarget: true,
    now: () => 0,
    repeatLimit: 0,
  });
  const watch = new SlowSyncs(new AppendState(control), logs.target("persistence"));
  /** Writes and syncs `times` times, as the file thread does, and looks once. */
  const sync = (times: number, syncMs: number): void => {
    files.syncMs = syncMs;
    for (let n = 0; n < times; n++) {
      share.take(writer);
      const unit = encodeCommand(["SET", "key", String(n)]);
      log.append(Buffer.from(unit), 0, unit.length, 0, 0);
      expect(writer.drain() && writer.sync()).toBe(true);
      share.give(writer, false);
    }
    watch.look();
  };
  const told = () => lines.map(({ slow_syncs, longest_sync_ms }) => [slow_syncs, longest_sync_ms]);

  sync(5, 900);
  expect(told()).toEqual([]);
  sync(1, 1500);
  expect(told()).toEqual([[1, 1500]]);
  watch.look();
  sync(3, 2);
  expect(told()).toEqual([[1, 1500]]);
  sync(2, 4000);
  expect(told()).toEqual([
    [1, 1500],
    [2, 4000],
  ]);
});
