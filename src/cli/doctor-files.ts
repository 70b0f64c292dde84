/** Directories, the disk, and what lies in the data directory. */
import { dirname, join, resolve } from "node:path";
import type { Config } from "../base/config/config.ts";
import { errorMessage, osErrorText } from "../base/errors.ts";
import { FileFailure, type Files } from "../base/files.ts";
import { LOCK_FILE } from "../memory/native.ts";
import { checkpointDirectory } from "../persistence/save-plan.ts";
import { type Finding, failure, fine, note, warning } from "./finding.ts";
import { nearestExisting, read, statOrNull, type Surroundings } from "./surroundings.ts";

export function checkDirectories(config: Config, around: Surroundings): Finding[] {
  const data = config.text("storage.data_dir");
  const found = [
    ...checkDirectory(around, "data_dir", data),
    ...checkPrivacy(around, data),
    ...checkHolder(around, data),
    ...checkSpace(around, "disk", data),
  ];
  const checkpoints = checkpointDirectory(config);
  if (config.flag("persistence.enable_checkpoints") && config.text("persistence.checkpoint_dir") !== "") {
    found.push(...checkDirectory(around, "checkpoint_dir", checkpoints));
    found.push(...checkSpace(around, "checkpoint_disk", checkpoints));
  }
  return [...found, ...checkLog(config, around)];
}

function checkDirectory(around: Surroundings, check: string, path: string): Finding[] {
  const { files, userId } = around;
  const at = nearestExisting(files, path);
  const stat = statOrNull(files, at);
  const isThere = at === resolve(path);
  const meaning = "The server cannot start, or cannot write there.";
  const user = userId > 0 ? String(userId) : "ferrite";
  if (stat === null || stat.kind !== "directory")
    return [
      failure(check, { text: `${at} is not a directory`, meaning, mend: `move ${at} away, or name another directory` }),
    ];
  const problem = probe(files, at);
  if (problem !== "") {
    const mend = `sudo install -d -o ${user} -g ${user} -m 750 ${path}`;
    return [failure(check, { text: `${path}: ${problem}`, meaning, mend })];
  }
  if (!isThere) {
    return [
      {
        ...fine(check, `${path} does not exist and can be created`),
        repair: () => files.mkdir(path, 0o750),
      },
    ];
  }
  if (userId > 0 && stat.userId !== userId) {
    return [
      warning(check, {
        text: `${path} can be written but belongs to user ${stat.userId}`,
        meaning: "Files of two users lie side by side, and one of them may not be able to read the other's.",
        mend: `sudo chown -R ${user} ${path}`,
      }),
    ];
  }
  return [fine(check, `${path} can be written`)];
}

const OTHERS_MAY_WRITE = 0o002;
const STICKY = 0o1000;

/** Data that every user of the machine can change is nobody's. */
function checkPrivacy({ files, userId }: Surroundings, path: string): Finding[] {
  const stat = statOrNull(files, resolve(path));
  if (stat === null || stat.kind !== "directory" || (stat.mode & OTHERS_MAY_WRITE) === 0) return [];
  const problem = {
    text: `${path} can be written by every user of this machine (mode ${(stat.mode & 0o7777).toString(8)})`,
    meaning: "Anybody can replace the data.",
    mend: `chmod o-w ${path}`,
  };
  // A shared place like /tmp stays as it is.
  if ((stat.mode & STICKY) !== 0 || (userId > 0 && stat.userId !== userId)) return [warning("data_mode", problem)];
  return [warning("data_mode", { ...problem, repair: () => setMode(files, path, stat.mode & ~OTHERS_MAY_WRITE) })];
}

export function setMode(files: Files, path: string, mode: number): void {
  const file = files.open(path, "r", 0);
  try {
    files.setMode(file, mode);
  } finally {
    files.close(file);
  }
}

/** Creates and removes a file. Returns "" when that succeeds, else the system's error text. */
function probe(files: Files, directory: string): string {
  const path = join(directory, `.ferrite-doctor-${process.pid}`);
  try {
    files.close(files.open(path, "wx", 0o600));
    files.unlink(path);
    return "";
  } catch (thrown) {
    return thrown instanceof FileFailure && thrown.code !== "" ? osErrorText(thrown.code) : errorMessage(thrown);
  }
}

/** Reports whether a running Ferrite uses the data directory: it would have locked a file there. */
function checkHolder(around: Surroundings, path: string): Finding[] {
  const lockPath = join(path, LOCK_FILE);
  if (statOrNull(around.files, lockPath) === null) return [];
  switch (around.lockOf(lockPath)) {
    case "free":
      return [fine("data_lock", `no running Ferrite uses ${path}`)];
    case "unknown":
      return [note("data_lock", `cannot tell whether a running Ferrite uses ${path}`)];
    case "unreadable":
      return [
        warning("data_lock", {
          text: `${lockPath} cannot be read`,
          meaning: "It belongs to another user, who may run a server there.",
          mend: `ls -l ${lockPath}`,
        }),
      ];
    case "taken": {
      const pid = Number.parseInt(read(around.files, lockPath), 10);
      return [
        warning("data_lock", {
          text: `${path} is in use by a running Ferrite${pid > 0 ? ` (process ${pid})` : ""}: another one needs its own storage.data_dir`,
          meaning: "A second server on this directory does not start.",
          mend: `ferrite --data-dir ./other; or stop the one that runs: kill -TERM ${pid > 0 ? pid : "$(pidof ferrite)"}`,
        }),
      ];
    }
  }
}

const NEARLY_FULL = 0.8;
const FULL = 0.98;

function room(bytes: number): string {
  return bytes >= 10 * 2 ** 30 ? `${Math.floor(bytes / 2 ** 30)} GiB` : `${Math.floor(bytes / 2 ** 20)} MiB`;
}

function checkSpace(around: Surroundings, check: string, path: string): Finding[] {
  const space = around.space(nearestExisting(around.files, path));
  if (space === null) return [note(check, `the disk of ${path} cannot be read`)];
  const { usedRatio, freeBytes } = space;
  const text = `${Math.round(usedRatio * 100)} % of the disk of ${path} is used, ${room(freeBytes)} are free`;
  if (usedRatio <= NEARLY_FULL) return [fine(check, text)];
  const problem = {
    text,
    meaning:
      "When it is full the append-only file and checkpoints fail, and writes are refused. A rewrite needs room for a second copy.",
    mend: `du -xh --max-depth=2 ${path} | sort -h | tail; or a larger disk, or a smaller persistence.max_checkpoints`,
  };
  return [usedRatio > FULL ? failure(check, problem) : warning(check, problem)];
}

function checkLog(config: Config, around: Surroundings): Finding[] {
  const path = config.text("logging.log_file");
  if (path === "") return [];
  const found = checkDirectory(around, "log_file", dirname(resolve(path)));
  if (config.text("logging.log_rotation") === "none")
    found.push(note("log_rotation", `${path} grows without end unless logrotate moves it and sends SIGHUP`));
  return found;
}

/** Files that Bun reads on its own when Ferrite runs from source. The executable is built not to read them. */
export function checkStrayFiles({ files, ownPlaces }: Surroundings): Finding[] {
  return ownPlaces
    .flatMap((place) => [".env", "bunfig.toml"].map((name) => join(place, name)))
    .filter((path) => statOrNull(files, path) !== null)
    .map((path) => note("stray_file", `${path} is there; the executable does not read it`));
}
