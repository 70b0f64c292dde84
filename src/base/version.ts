/**
 * Version and commit, which build.ts writes into the executable; from source they come from package.json and are unknown.
 */
import { version } from "../../package.json" with { type: "json" };

declare const FERRITE_COMMIT: string | undefined;

export const VERSION: string = version;

/** Short commit hash, "-dirty" behind it when the tree had changes; "dev" when run from source. */
export const COMMIT: string = typeof FERRITE_COMMIT === "string" ? FERRITE_COMMIT : "dev";

/** True inside dist/ferrite. */
export const IS_COMPILED: boolean = typeof FERRITE_COMMIT === "string";
