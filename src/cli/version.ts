/** What `ferrite --version` and INFO say about this build. */
import { arch, platform } from "node:os";
import manifest from "../../package.json" with { type: "json" };

/** Set by `bun build --define FERRITE_COMMIT='"abc1234"'`. */
declare const FERRITE_COMMIT: string | undefined;

export const VERSION: string = manifest.version;
/** Short hash of the commit the executable was built from; "dev" when run from source. */
export const COMMIT: string = typeof FERRITE_COMMIT === "string" ? FERRITE_COMMIT : "dev";
/** Bun links mimalloc; the data itself lives in SharedArrayBuffers. */
export const ALLOCATOR = "mimalloc";

/** One line. */
export function versionLine(): string {
  return `ferrite ${VERSION} (commit ${COMMIT}, bun ${Bun.version}, ${platform()}-${arch()}, ${ALLOCATOR})`;
}
