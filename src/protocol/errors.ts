/**
 * Every RESP error text, in one place. The texts are those of Redis 7.0, because clients match on them.
 */
import { Status } from "../base/status.ts";

export const ErrorText = {
  wrongType: "WRONGTYPE Operation against a key holding the wrong kind of value",
  notInteger: "ERR value is not an integer or out of range",
  overflow: "ERR increment or decrement would overflow",
  decrementOverflow: "ERR decrement would overflow",
  notFloat: "ERR value is not a valid float",
  nanOrInfinity: "ERR increment would produce NaN or Infinity",
  tooLong: "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
  keyTooLong: "ERR key is longer than 262143 bytes",
  outOfMemory: "OOM command not allowed when used memory > 'maxmemory'.",
  syntax: "ERR syntax error",
  noSuchKey: "ERR no such key",
  indexOutOfRange: "ERR index out of range",
  offsetOutOfRange: "ERR offset is out of range",
  invalidCursor: "ERR invalid cursor",
  sameObject: "ERR source and destination objects are the same",
  databaseOutOfRange: "ERR DB index is out of range",
  invalidDatabase: "ERR invalid DB index",
  noAuth: "NOAUTH Authentication required.",
  wrongPass: "WRONGPASS invalid username-password pair or user is disabled.",
  authNotConfigured:
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
  noProto: "NOPROTO unsupported protocol version",
  protoNotInteger: "ERR Protocol version is not an integer or out of range",
  maxClients: "ERR max number of clients reached",
  protectedMode:
    "DENIED Ferrite is running in protected mode because protected mode is enabled and no password is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to connect from external computers, set a password (security.requirepass), or disable protected mode with 'CONFIG SET protected-mode no' from the loopback interface, or set server.protected_mode = false in the configuration file and restart.",
  notInTransaction: "ERR Command not allowed inside a transaction",
  loading: "LOADING Ferrite is loading the dataset in memory",
  readOnlyReplica: "READONLY You can't write against a read only replica.",
  primaryDown: "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
  unblockedByRole: "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
  busy: "BUSY Ferrite is busy running a command that holds the data. Try again later.",
  noScriptRuns: "NOTBUSY No scripts in execution right now.",
  scriptHasWritten:
    "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
  unblocked: "UNBLOCKED client unblocked via CLIENT UNBLOCK",
  // Protocol errors: the connection is closed after them.
  bulkLength: "ERR Protocol error: invalid bulk length",
  multibulkLength: "ERR Protocol error: invalid multibulk length",
  unauthenticatedMultibulk: "ERR Protocol error: unauthenticated multibulk length",
  unauthenticatedBulk: "ERR Protocol error: unauthenticated bulk length",
  bigCount: "ERR Protocol error: too big mbulk count string",
  bigBulkCount: "ERR Protocol error: too big bulk count string",
  bigInline: "ERR Protocol error: too big inline request",
  unbalancedQuotes: "ERR Protocol error: unbalanced quotes in request",
} as const;

const BY_STATUS: Record<number, string> = {
  [Status.WrongType]: ErrorText.wrongType,
  [Status.NotInteger]: ErrorText.notInteger,
  [Status.Overflow]: ErrorText.overflow,
  [Status.NotFloat]: ErrorText.notFloat,
  [Status.NanOrInfinity]: ErrorText.nanOrInfinity,
  [Status.TooLong]: ErrorText.tooLong,
  [Status.OutOfMemory]: ErrorText.outOfMemory,
  [Status.Syntax]: ErrorText.syntax,
  [Status.NoSuchKey]: ErrorText.noSuchKey,
  [Status.KeyTooLong]: ErrorText.keyTooLong,
};

/** Text of an engine status. */
export function statusText(status: number): string {
  return BY_STATUS[status] ?? `ERR internal status ${status}`;
}

/** `ERR unknown command ...` in the words of Redis 7. `args` are the arguments after the name, truncated by the caller. */
export function unknownCommand(name: string, args: readonly string[]): string {
  let begin = "";
  for (const arg of args) {
    if (begin.length >= 128) break;
    begin += `'${arg.slice(0, 128 - begin.length)}' `;
  }
  return `ERR unknown command '${name.slice(0, 128)}', with args beginning with: ${begin}`;
}
/** Refusal of a command that server.disable_dangerous_commands disables; `name` as in COMMAND ("config|set"). */
export function disabledCommand(name: string): string {
  return `ERR command '${name.toLowerCase()}' is disabled on this server (server.disable_dangerous_commands)`;
}
/** While a script runs too long. `command` ends it: "SCRIPT KILL". */
export function scriptBusy(command: string): string {
  return `BUSY Redis is busy running a script. You can only call ${command} or SHUTDOWN NOSAVE.`;
}
/** Refusal of a command of a client that subscribes to something and speaks RESP2. */
export function notForSubscribers(name: string): string {
  return `ERR Can't execute '${name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`;
}
export function wrongArity(name: string): string {
  return `ERR wrong number of arguments for '${name}' command`;
}
export function unknownSubcommand(subcommand: string, command: string): string {
  return `ERR unknown subcommand '${subcommand.slice(0, 128)}'. Try ${command} HELP.`;
}
export function invalidExpire(name: string): string {
  return `ERR invalid expire time in '${name}' command`;
}

/** A write is refused: the last background save failed, and there are save points. */
export const SAVE_FAILED =
  "MISCONF Ferrite is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Ferrite logs for details about the RDB error.";

/** A write is refused: min-replicas-to-write. */
export const NO_REPLICAS = "NOREPLICAS Not enough good replicas to write.";

/** A write is refused: the append-only file cannot be written. `words`: the system's. */
export function appendOnlyFailed(words: string): string {
  return `MISCONF Errors writing to the AOF file: ${words}`;
}
