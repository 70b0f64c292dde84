/** `ferrite top`: its arguments, and whether it shows a picture or prints. The options are those of redis-cli. */
import { isatty } from "node:tty";
import { systemClock } from "../base/clock.ts";
import { StartupError } from "../base/errors.ts";
import { FileFailure, readText, realFiles } from "../base/files.ts";
import { STANDARD_OUTPUT } from "../base/log-output.ts";
import { addressOf, LinkFailed, type Target } from "../top/link.ts";
import { printTop, showTop, type TopOptions } from "../top/top.ts";
import { type LinkArguments, parseTopArguments } from "./arguments.ts";

/** Columns of a block where none are told. */
const COLUMNS = 100;

/** Exit code 0 at the end, 1 when the server cannot be reached. */
export async function runTop(argv: readonly string[]): Promise<number> {
  const given = parseTopArguments(argv, process.env["REDISCLI_AUTH"] ?? "");
  const target = targetOf(given);
  const isTerminal = isatty(STANDARD_OUTPUT);
  const options: TopOptions = {
    target,
    intervalSeconds: given.interval ?? 1,
    blocks: given.count ?? (given.interval === null ? 1 : 0),
    isColoured: (process.env["NO_COLOR"] ?? "") === "" && process.env["TERM"] !== "dumb",
    isUnicode: isUnicode(process.env),
  };
  try {
    if (isTerminal && process.env["TERM"] !== "dumb" && given.count === null) await showTop(options, systemClock);
    else await printTop(options, systemClock, Number(process.env["COLUMNS"]) || COLUMNS);
  } catch (thrown) {
    // A reader that has read enough, such as head.
    if ((thrown as { code?: string } | null)?.code === "EPIPE") return 0;
    if (!(thrown instanceof LinkFailed)) throw thrown;
    throw new StartupError(`${addressOf(target)}: ${thrown.message}`, [], 1);
  }
  return 0;
}

export function targetOf(given: LinkArguments): Target {
  const { host, port, socket, user, password } = given;
  const tls = given.tls
    ? {
        ca: pem(given.caFile),
        certificate: pem(given.certificateFile),
        key: pem(given.keyFile),
        serverName: given.serverName,
        isInsecure: given.insecure,
      }
    : null;
  return { host, port, socket, user, password, tls };
}

function pem(path: string): string {
  if (path === "") return "";
  try {
    return readText(realFiles, path);
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    throw new StartupError(thrown.message, [], 1);
  }
}

/** As the C library decides: the first of these variables that is set says the character set. */
function isUnicode(environment: NodeJS.ProcessEnv): boolean {
  const name = ["LC_ALL", "LC_CTYPE", "LANG"].map((each) => environment[each] ?? "").find((value) => value !== "");
  return /utf-?8/i.test(name ?? "");
}
