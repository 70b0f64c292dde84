/**
 * Access: whether a user may run a command. The dispatcher asks only for sessions that are not trusted (Session.isTrusted):
 * they must authenticate first, or their user lacks some right.
 *
 * The keys are found as for the locks, by the key specs of the row. Their flags say whether a key is read or written: access
 * reads, and insert, update and delete write. A key without such a flag (EXISTS) may match any pattern.
 */
import { matchGlob } from "../base/glob.ts";
import { ErrorText } from "../protocol/errors.ts";
import type { Call } from "./call.ts";
import type { CommandTable } from "./command-table.ts";
import { KeyArguments } from "./key-arguments.ts";
import { keyFlagsHere, keySpecsOf } from "./key-flags.ts";
import type { Session } from "./session.ts";
import { type CommandSpec, type KeyPlace, NO_AUTH } from "./spec.ts";
import { Permission, type Selector, type User } from "./user.ts";

/** Why access is denied. A higher one tells more about the command. */
export const Denied = { None: 0, Command: 1, Key: 2, Auth: 3, Channel: 4 } as const;
export type Denied = (typeof Denied)[keyof typeof Denied];

/** Where the denied command came from, as ACL LOG names it. */
export type DeniedContext = "toplevel" | "multi" | "lua";

/** The context of a command that the client of `session` sent. */
export function contextOf(session: Session): DeniedContext {
  return session.transaction === null ? "toplevel" : "multi";
}

/** Receives what was denied. */
export interface AccessLog {
  /** `object`: the command, key or channel; of AUTH the command. `user`: the one that was tried. */
  denied(session: Session, reason: Denied, context: DeniedContext, object: string, user: string): void;
}

/** The channels that a command names: `all` = every argument, else only the first. */
interface ChannelUse {
  readonly all: boolean;
  readonly isPattern: boolean;
}
const CHANNELS: Readonly<Record<string, ChannelUse>> = {
  PUBLISH: { all: false, isPattern: false },
  SPUBLISH: { all: false, isPattern: false },
  SUBSCRIBE: { all: true, isPattern: false },
  SSUBSCRIBE: { all: true, isPattern: false },
  PSUBSCRIBE: { all: true, isPattern: true },
};

export class Access {
  /** Set by the owner. */
  log: AccessLog | null = null;
  /** Denials by reason. */
  readonly counts = new Float64Array(Denied.Channel + 1);
  /** Number of the argument that was denied, counted from the command's name. */
  deniedAt = 0;
  private readonly keyArguments = new KeyArguments();
  private readonly places = new Map<CommandSpec, readonly KeyPlace[]>();

  constructor(
    private readonly call: Call,
    private readonly table: CommandTable,
  ) {}

  /** The error for the command of the call, which has the row `spec`; "" = it may run. */
  refusal(spec: CommandSpec, context: DeniedContext): string {
    const { session } = this.call;
    if (!session.authenticated && (spec.flags & NO_AUTH) === 0) return ErrorText.noAuth;
    const denied = this.test(spec, context);
    return denied === Denied.None ? "" : refusalText(denied, spec);
  }

  /** Whether the session's user may run the command of the call. A denial is counted and logged. */
  test(spec: CommandSpec, context: DeniedContext): Denied {
    const { call } = this;
    const { session } = call;
    const { user } = session;
    const denied = user.isUnrestricted ? Denied.None : this.check(user, spec, 0, call.argCount);
    if (denied === Denied.None) return denied;
    const object = denied === Denied.Command ? nameOf(spec) : call.argText(this.deniedAt);
    this.note(session, denied, context, object, user.name);
    return denied;
  }

  /** Counts and logs a denial. */
  note(session: Session, reason: Denied, context: DeniedContext, object: string, user: string): void {
    this.counts[reason]!++;
    this.log?.denied(session, reason, context, object, user);
  }

  /**
   * Checks the command whose `given` arguments begin with argument `from` of the call. Of several selectors the denial that
   * tells most counts, and of equal ones the last argument.
   */
  check(user: User, spec: CommandSpec, from: number, given: number): Denied {
    let worst: Denied = Denied.Command;
    let worstAt = 0;
    this.deniedAt = 0;
    for (const selector of user.selectors) {
      const denied = this.checkSelector(selector, spec, from, given);
      if (denied === Denied.None) return denied;
      if (denied > worst || (denied === worst && this.deniedAt > worstAt)) {
        worst = denied;
        worstAt = this.deniedAt;
      }
    }
    this.deniedAt = worstAt;
    return worst;
  }

  /** Whether the user may run a command without keys, whatever its arguments. */
  allowsRow(user: User, spec: CommandSpec): boolean {
    const row = this.table.rowOf(spec);
    return user.selectors.some((one) => one.allCommands || one.allowed[row] === 1);
  }

  /** Whether a selector that allows the command of the call also lets all keys be read. */
  readsAllKeys(user: User, spec: CommandSpec): boolean {
    if (user.isUnrestricted) return true;
    const { argCount } = this.call;
    return user.selectors.some(
      (selector) => readsAll(selector) && this.checkSelector(selector, spec, 0, argCount) === Denied.None,
    );
  }

  private checkSelector(selector: Selector, spec: CommandSpec, from: number, given: number): Denied {
    if (!this.allowsCommand(selector, spec, from, given)) return Denied.Command;
    if (!selector.allKeys && !this.allowsKeys(selector, spec, from, given)) return Denied.Key;
    return selector.allChannels || this.allowsChannels(selector, spec, from, given) ? Denied.None : Denied.Channel;
  }

  private allowsCommand(selector: Selector, spec: CommandSpec, from: number, given: number): boolean {
    if (selector.allCommands || (spec.flags & NO_AUTH) !== 0) return true;
    const row = this.table.rowOf(spec);
    if (selector.allowed[row] === 1) return true;
    const words = selector.firstArguments.get(row);
    const at = spec.isSubcommand ? 2 : 1;
    return words !== undefined && given > at && words.includes(this.call.argText(from + at).toLowerCase());
  }

  private allowsKeys(selector: Selector, spec: CommandSpec, from: number, given: number): boolean {
    const { call, keyArguments } = this;
    for (const place of this.placesOf(spec)) {
      keyArguments.count = 0;
      keyArguments.findPlace(call, place, from, given);
      if (keyArguments.count === 0) continue;
      const wanted = permissionOf(keyFlagsHere(call, spec, place, from, given));
      for (let n = 0; n < keyArguments.count; n++) {
        const i = keyArguments.at[n]!;
        if (this.allowsKey(selector, i, wanted)) continue;
        this.deniedAt = i - from;
        return false;
      }
    }
    return true;
  }

  private placesOf(spec: CommandSpec): readonly KeyPlace[] {
    let places = this.places.get(spec);
    if (places === undefined) {
      places = keySpecsOf(spec).filter(({ flags }) => flags !== "not_key");
      this.places.set(spec, places);
    }
    return places;
  }

  private allowsKey(selector: Selector, i: number, wanted: number): boolean {
    const { call } = this;
    const at = call.argAt(i);
    if (at < 0) return false;
    for (const { pattern, permission } of selector.keys) {
      if ((permission & wanted) !== wanted) continue;
      if (matchGlob(pattern, 0, pattern.length, call.bytes, at, call.argBytes(i), false)) return true;
    }
    return false;
  }

  private allowsChannels(selector: Selector, spec: CommandSpec, from: number, given: number): boolean {
    const use = CHANNELS[spec.name];
    if (use === undefined) return true;
    const { call } = this;
    for (let i = 1; i < (use.all ? given : 2); i++) {
      const at = call.argAt(from + i);
      if (at >= 0 && allowsChannel(selector, call.bytes, at, call.argBytes(from + i), use.isPattern)) continue;
      this.deniedAt = i;
      return false;
    }
    return true;
  }
}

/** A pattern to subscribe to must be one of the selector's, letter by letter. */
export function allowsChannel(
  selector: Selector,
  bytes: Buffer,
  at: number,
  length: number,
  isPattern: boolean,
): boolean {
  if (selector.allChannels) return true;
  return selector.channels.some((pattern) =>
    isPattern
      ? pattern.length === length && pattern.compare(bytes, at, at + length) === 0
      : matchGlob(pattern, 0, pattern.length, bytes, at, length, false),
  );
}

/** The permissions that a key with these flags needs. */
function permissionOf(flags: string): number {
  let permission = permissions.get(flags);
  if (permission === undefined) {
    permission = readPermission(flags);
    permissions.set(flags, permission);
  }
  return permission;
}
/** By the flags of key specs, of which there are a few. */
const permissions = new Map<string, number>();

function readPermission(flags: string): number {
  const words = flags.split(" ");
  const reads = words.includes("access") ? Permission.Read : 0;
  const writes = words.includes("update") || words.includes("insert") || words.includes("delete");
  return reads | (writes ? Permission.Write : 0);
}

function readsAll({ allKeys, keys }: Selector): boolean {
  return (
    allKeys || keys.some(({ pattern, permission }) => (permission & Permission.Read) !== 0 && pattern.equals(EVERY_KEY))
  );
}
const EVERY_KEY = Buffer.from("*");

/** The name of a row as errors show it: "config|get". */
function nameOf(spec: CommandSpec): string {
  return spec.name.toLowerCase();
}

function refusalText(denied: Denied, spec: CommandSpec): string {
  switch (denied) {
    case Denied.Key:
      return "NOPERM this user has no permissions to access one of the keys used as arguments";
    case Denied.Channel:
      return "NOPERM this user has no permissions to access one of the channels used as arguments";
    default:
      return `NOPERM this user has no permissions to run the '${nameOf(spec)}' command`;
  }
}
