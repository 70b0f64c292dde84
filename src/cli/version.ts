/** The line that `ferrite --version` and the log's first line print. */
import { arch, platform } from "node:os";
import { COMMIT, VERSION } from "../base/version.ts";
import { REDIS_VERSION } from "../dispatch/services.ts";

/** Bun links mimalloc. The data is in SharedArrayBuffers, which it does not allocate. */
const ALLOCATOR = "mimalloc";

/** The line that `redis-server --version` prints, for programs that read it. The version is that of INFO. */
export function redisVersionLine(): string {
  return `Redis server v=${REDIS_VERSION} sha=${COMMIT}:0 malloc=${ALLOCATOR} bits=64 build=ferrite-${VERSION}`;
}

/** The version line. */
export function versionLine(): string {
  return `ferrite ${VERSION} (commit ${COMMIT}, bun ${Bun.version}, ${platform()}-${arch()}, ${ALLOCATOR})`;
}
