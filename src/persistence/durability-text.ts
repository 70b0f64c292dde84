/** Says in one line which writes are durable, and which a crash may lose. */
import type { Config } from "../base/config/config.ts";

const SYNCS: Record<string, string> = {
  always: "synced before each reply: a crash loses nothing",
  everysec: "synced every second: a crash of the process loses nothing, one of the machine up to 2 seconds",
  no: "synced when the system decides: a crash of the process loses nothing, one of the machine usually up to 30 seconds",
};

export interface DurabilityText {
  readonly text: string;
  readonly isDurable: boolean;
}

export function durabilityText(config: Config): DurabilityText {
  const times = saveTimes(config);
  const saves = times.length === 0 ? "" : `${saveWord(config)} ${times.join(" and ")}`;
  if (config.flag("persistence.enable_aof")) {
    const sync = SYNCS[config.text("persistence.aof_fsync")]!;
    return {
      text: `durable: every write, in the append-only file, ${sync}${saves === "" ? "" : `; ${saves}`}`,
      isDurable: true,
    };
  }
  if (saves !== "")
    return {
      text: `durable: ${saves}; a crash loses the changes since the last of them (appendonly is off)`,
      isDurable: true,
    };
  return {
    text: "nothing is durable: the append-only file, checkpoints and save points are off, so the data is gone when the process ends",
    isDurable: false,
  };
}

function saveWord(config: Config): string {
  return config.flag("persistence.enable_checkpoints") ? "checkpoints" : "an RDB file";
}

/** When data sets are saved whole. */
function saveTimes(config: Config): string[] {
  const times: string[] = [];
  const points = config.text("persistence.save");
  const seconds = config.number("persistence.checkpoint_interval_secs");
  const hasCheckpoints = config.flag("persistence.enable_checkpoints");
  if (hasCheckpoints && seconds > 0) times.push(`every ${seconds} s`);
  if (points !== "") times.push(`at the save points ${points}`);
  if (points !== "" || (hasCheckpoints && config.flag("persistence.checkpoint_on_shutdown"))) times.push("at the end");
  return times;
}
