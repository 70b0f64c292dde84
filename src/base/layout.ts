/**
 * Layout: a name for the form in which this program keeps data in memory. Two programs of one name understand each other's
 * memory (persistence/stop-image.ts). It is a checksum of the sources that draw the bytes of keys, values and segment files, so
 * no change of them can be forgotten. build.ts writes it into the executable; from source it is computed when it is wanted.
 */
import { join, resolve } from "node:path";
import { type Files, readWhole, realFiles } from "./files.ts";

declare const FERRITE_LAYOUT: string | undefined;

/** The folders of src/ that own the bytes. */
const FOLDERS = ["memory", "store", "structures", "tier"] as const;

export function layout(): string {
  return typeof FERRITE_LAYOUT === "string" ? FERRITE_LAYOUT : layoutOf(realFiles, resolve(import.meta.dir, ".."));
}

/** The layout of the sources in `directory`. */
export function layoutOf(files: Files, directory: string): string {
  const sum = new Bun.CryptoHasher("sha256");
  for (const folder of FOLDERS) {
    for (const name of files.list(join(directory, folder))) {
      if (name.endsWith(".ts")) sum.update(name).update(readWhole(files, join(directory, folder, name)));
    }
  }
  return `${process.arch}-${sum.digest("hex").slice(0, 32)}`;
}
