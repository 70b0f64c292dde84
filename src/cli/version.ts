/** The line that `ferrite --version` and the log's first line print. */
import { arch, platform } from "node:os";
import { COMMIT, VERSION } from "../base/version.ts";

/** Bun links mimalloc. The data is in SharedArrayBuffers, which it does not allocate. */
const ALLOCATOR = "mimalloc";

/** The version line. */
export function versionLine(): string {
  return `ferrite ${VERSION} (commit ${COMMIT}, bun ${Bun.version}, ${platform()}-${arch()}, ${ALLOCATOR})`;
}
