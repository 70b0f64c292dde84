/** Progress of a tool that reads a large file from front to back: a line for each part that was read. */
import type { FileDescriptor, Files } from "../base/files.ts";

/** Bytes between two lines. */
export const PART_BYTES = 256 << 20;

/** The same files, whose reads report how far they got. `part`: bytes between two reports. */
export function withProgress(files: Files, part: number, report: (text: string) => void): Files {
  let next = part;
  const watched = Object.create(files) as Files;
  watched.read = (file: FileDescriptor, into, offset, length, position) => {
    const got = files.read(file, into, offset, length, position);
    if (position + got < next) return got;
    const bytes = files.size(file);
    next = (Math.floor((position + got) / part) + 1) * part;
    const share = Math.floor(((position + got) / bytes) * 100);
    if (position + got < bytes) report(`${mebibytes(position + got)} of ${mebibytes(bytes)} MiB checked (${share} %)`);
    return got;
  };
  return watched;
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
