/** The line that `ferrite --version` and the log's first line print. */
import { arch, platform } from "node:os";
import { COMMIT, VERSION } from "../base/version.ts";

/** Bun links mimalloc; the data itself lives in SharedArrayBuffers. */
const ALLOCATOR = "mimalloc";

/** One line. */
export function versionLine(): string {
  return `ferrite ${VERSION} (commit ${COMMIT}, bun ${Bun.version}, ${platform()}-${arch()}, ${ALLOCATOR})`;
}
