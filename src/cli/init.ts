/** `ferrite init`: writes a configuration file and creates the data directory. */
import { dirname, isAbsolute, join } from "node:path";
import { initialConfig } from "../base/config/dump.ts";
import { dataDirectoryFailed, permissionDenied, StartupError } from "../base/errors.ts";
import { FileFailure, replaceDurably, type Files } from "../base/files.ts";
import { specOf } from "../base/config/schema.ts";
import type { InitArguments } from "./arguments.ts";

/** Writes the file. Returns the lines to print. Throws StartupError, also when the file exists and `force` is not set. */
export function init(files: Files, options: InitArguments): string[] {
  const { output, dataDir, force, minimal } = options;
  if (!force && files.stat(output) !== null) {
    throw new StartupError(
      `${output} already exists`,
      ["Use --force to overwrite it, or --output to write elsewhere."],
      1,
    );
  }
  const lines: string[] = [];
  const directory = dataDir === "" ? String(specOf("storage.data_dir").default) : dataDir;
  if (options.createDirectories) {
    makeDirectory(files, directory);
    lines.push(`data directory ${directory} is ready`);
  }
  const text = initialConfig({ values: dataDir === "" ? {} : { "storage.data_dir": dataDir }, minimal });
  try {
    if (options.createDirectories) files.mkdir(dirname(output), 0o755);
    // 0640, because the file may later contain a password.
    replaceDurably(files, output, new TextEncoder().encode(text), 0o640);
  } catch (thrown) {
    if (thrown instanceof FileFailure && thrown.code === "EACCES")
      throw permissionDenied(`${output} cannot be written`, "Choose another place with --output.");
    if (thrown instanceof FileFailure) throw new StartupError(thrown.message, [], 1);
    throw thrown;
  }
  lines.push(`wrote ${output}`, `start with: ferrite --config ${isAbsolute(output) ? output : `./${join(output)}`}`);
  return lines;
}

/** Creates a data directory with mode 0750. Throws the start-up error of row 114. */
export function makeDirectory(files: Files, path: string): void {
  try {
    files.mkdir(path, 0o750);
  } catch (thrown) {
    if (thrown instanceof FileFailure) throw dataDirectoryFailed(path, thrown.code);
    throw thrown;
  }
}
