/**
 * User: who a connection has authenticated as, and what it may do. A user is never changed: a change of its rights makes
 * another object, which takes the place of the old one in every session (acl/users.ts).
 *
 *   user ─ selectors[0]: the rights that stand beside its name │ selectors[1..]: those in parentheses
 *
 * A command is allowed when one selector alone allows the command, all its keys and all its channels.
 */

/** What a pattern lets its keys be used for. */
export const Permission = { Read: 1, Write: 2 } as const;
export const ALL_PERMISSIONS = Permission.Read | Permission.Write;

export interface KeyPattern {
  readonly pattern: Buffer;
  /** Permission bits. */
  readonly permission: number;
}

export interface Selector {
  /** +@all with nothing taken away. */
  readonly allCommands: boolean;
  /** Began with +@all, so that it also has commands that a later version adds. */
  readonly futureCommands: boolean;
  /** 1 for each row of the command table that is allowed. */
  readonly allowed: Uint8Array;
  /** First arguments, in lower case, with which a row that is not allowed may be called; by row. */
  readonly firstArguments: ReadonlyMap<number, readonly string[]>;
  /** The rules about commands in their order: "+@read -get". Without the leading +@all or -@all. */
  readonly rules: readonly string[];
  readonly allKeys: boolean;
  readonly keys: readonly KeyPattern[];
  readonly allChannels: boolean;
  readonly channels: readonly Buffer[];
}

export class User {
  /** Nothing is denied to it, so its commands need no check. */
  readonly isUnrestricted: boolean;

  constructor(
    /** A byte a character. */
    readonly name: string,
    readonly isEnabled: boolean,
    /** Any password is right. */
    readonly needsNoPassword: boolean,
    /** SHA-256 of each password, 64 hexadecimal digits. */
    readonly passwords: readonly string[],
    /** null = the user says nothing about it. */
    readonly sanitizesPayload: boolean | null,
    readonly selectors: readonly Selector[],
  ) {
    this.isUnrestricted = selectors.some((one) => one.allCommands && one.allKeys && one.allChannels);
  }

  /** A new connection is this user without AUTH, when it is the default user. */
  get isOpen(): boolean {
    return this.isEnabled && this.needsNoPassword;
  }
}

const EVERYTHING: Selector = {
  allCommands: true,
  futureCommands: true,
  allowed: new Uint8Array(0),
  firstArguments: new Map(),
  rules: [],
  allKeys: true,
  keys: [],
  allChannels: true,
  channels: [],
};
export const DEFAULT_NAME = "default";
/** The user of the commands that the server itself runs: those of a file that is loaded. */
export const SERVER_ITSELF = new User(DEFAULT_NAME, true, true, [], null, [EVERYTHING]);
