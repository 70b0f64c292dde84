/**
 * Version and commit. build.ts writes both into the executable. From source the version is package.json's, the commit "dev".
 */
import { version } from "../../package.json" with { type: "json" };

declare const FERRITE_COMMIT: string | undefined;

export const VERSION: string = version;

/** Short commit hash, followed by "-dirty" if the tree had changes; "dev" when run from source. */
export const COMMIT: string = typeof FERRITE_COMMIT === "string" ? FERRITE_COMMIT : "dev";

/** True in the built executable. */
export const IS_COMPILED: boolean = typeof FERRITE_COMMIT === "string";
