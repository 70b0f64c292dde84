/**
 * ACL rules: the words of ACL SETUSER, of an ACL file and of `user` in a configuration, and what they do to a user.
 *
 *   on off nopass resetpass >password <password #hash !hash      the user itself
 *   ~pattern %R~pattern %W~pattern allkeys resetkeys             keys
 *   &pattern allchannels resetchannels                           channels
 *   +command -command +command|first +@category -@category       commands
 *   (rules) clearselectors reset                                 further selectors; everything
 *
 * Texts are a byte a character.
 */
import { CATEGORIES, categoriesOf } from "../dispatch/categories.ts";
import type { CommandTable } from "../dispatch/command-table.ts";
import type { CommandSpec } from "../dispatch/spec.ts";
import { ALL_PERMISSIONS, type KeyPattern, Permission, type Selector, User } from "../dispatch/user.ts";

/** Why a rule is refused, in Redis's words. */
export const RuleError = {
  unknownCommand: "Unknown command or category name in ACL",
  syntax: "Syntax error",
  allKeys:
    "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns",
  allChannels:
    "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels",
  noSuchPassword: "The password you are trying to remove from the user does not exist",
  badHash: "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters",
  firstOfSubcommand: "Allowing first-arg of a subcommand is not supported",
} as const;
export type RuleError = (typeof RuleError)[keyof typeof RuleError];

/** What new users get besides what their rules say. */
export interface RuleDefaults {
  /** acl-pubsub-default */
  readonly allChannels: boolean;
}

/** A selector while rules are applied to it. */
class SelectorDraft implements Selector {
  allCommands = false;
  futureCommands = false;
  allowed: Uint8Array;
  firstArguments = new Map<number, readonly string[]>();
  rules: string[] = [];
  allKeys = false;
  keys: KeyPattern[] = [];
  allChannels: boolean;
  channels: Buffer[] = [];

  constructor(
    private readonly table: CommandTable,
    defaults: RuleDefaults,
  ) {
    this.allowed = new Uint8Array(table.rows.length);
    this.allChannels = defaults.allChannels;
  }

  static of(selector: Selector, table: CommandTable): SelectorDraft {
    const draft = new SelectorDraft(table, selector);
    draft.allCommands = selector.allCommands;
    draft.futureCommands = selector.futureCommands;
    draft.allowed = selector.allowed.slice();
    draft.firstArguments = new Map(selector.firstArguments);
    draft.rules = [...selector.rules];
    draft.allKeys = selector.allKeys;
    draft.keys = [...selector.keys];
    draft.channels = [...selector.channels];
    return draft;
  }

  /** Applies one rule. Returns null, or why it is refused. */
  apply(rule: string): RuleError | null {
    switch (rule.toLowerCase()) {
      case "allkeys":
      case "~*":
        return this.setKeys(true);
      case "resetkeys":
        return this.setKeys(false);
      case "allchannels":
      case "&*":
        return this.setChannels(true);
      case "resetchannels":
        return this.setChannels(false);
      case "allcommands":
      case "+@all":
        return this.setCommands(true);
      case "nocommands":
      case "-@all":
        return this.setCommands(false);
    }
    const sign = rule[0];
    if (sign === "~" || sign === "%") return this.addKeys(rule);
    if (sign === "&") return this.addChannels(rule.slice(1));
    if (sign !== "+" && sign !== "-") return RuleError.syntax;
    const name = rule.slice(1);
    if (name.startsWith("@")) return this.setCategory(name, sign === "+");
    return sign === "+" ? this.allow(name) : this.forbid(name);
  }

  setKeys(all: boolean): null {
    this.allKeys = all;
    this.keys = [];
    return null;
  }
  setChannels(all: boolean): null {
    this.allChannels = all;
    this.channels = [];
    return null;
  }
  setCommands(all: boolean): null {
    this.allCommands = this.futureCommands = all;
    this.allowed.fill(all ? 1 : 0);
    this.firstArguments.clear();
    this.rules = [];
    return null;
  }

  private addKeys(rule: string): RuleError | null {
    if (this.allKeys) return RuleError.allKeys;
    const found = /^(?:~|%(R|W|RW|WR)~)([\s\S]*)$/i.exec(rule);
    if (found === null) return RuleError.syntax;
    const [, letters, text] = found;
    if (hasSpaces(text!)) return RuleError.syntax;
    const permission = letters === undefined ? ALL_PERMISSIONS : permissionOf(letters);
    const pattern = Buffer.from(text!, "latin1");
    const at = this.keys.findIndex((one) => one.pattern.equals(pattern));
    if (at < 0) this.keys.push({ pattern, permission });
    else this.keys[at] = { pattern, permission: this.keys[at]!.permission | permission };
    return null;
  }

  private addChannels(text: string): RuleError | null {
    if (this.allChannels) return RuleError.allChannels;
    if (hasSpaces(text)) return RuleError.syntax;
    const pattern = Buffer.from(text, "latin1");
    if (!this.channels.some((one) => one.equals(pattern))) this.channels.push(pattern);
    return null;
  }

  private setCategory(name: string, allows: boolean): RuleError | null {
    const category = name.slice(1).toLowerCase();
    if (!(CATEGORIES as readonly string[]).includes(category)) return RuleError.unknownCommand;
    this.noteRule(name, allows);
    for (const spec of this.table.all) {
      if (categoriesOf(spec).includes(category)) this.setCommand(spec, allows);
      for (const sub of spec.subcommands ?? []) if (categoriesOf(sub).includes(category)) this.setCommand(sub, allows);
    }
    return null;
  }

  private allow(name: string): RuleError | null {
    const bar = name.lastIndexOf("|");
    if (bar < 0) return this.setNamed(name, true);
    const spec = this.find(name.slice(0, bar));
    const first = name.slice(bar + 1).toLowerCase();
    if (spec === null) return RuleError.unknownCommand;
    if (spec.isSubcommand) return RuleError.firstOfSubcommand;
    if (first === "") return RuleError.syntax;
    if (spec.subcommands !== undefined) return this.setNamed(name, true);
    const row = this.table.rowOf(spec);
    const words = this.firstArguments.get(row) ?? [];
    if (!words.includes(first)) this.firstArguments.set(row, [...words, first]);
    this.noteRule(name, true);
    return null;
  }
  private forbid(name: string): RuleError | null {
    return this.setNamed(name, false);
  }

  private setNamed(name: string, allows: boolean): RuleError | null {
    const spec = this.find(name);
    if (spec === null) return RuleError.unknownCommand;
    this.setCommand(spec, allows);
    this.noteRule(spec.name, allows);
    return null;
  }

  /** The row with this name, "config|get" for a subcommand. Rules use the original names of renamed commands. */
  private find(name: string): CommandSpec | null {
    const upper = name.toUpperCase();
    return this.table.rows.find((spec) => spec.name === upper) ?? null;
  }

  private setCommand(spec: CommandSpec, allows: boolean): void {
    const row = this.table.rowOf(spec);
    this.allowed[row] = allows ? 1 : 0;
    this.firstArguments.delete(row);
    for (const sub of spec.subcommands ?? []) this.allowed[this.table.rowOf(sub)] = allows ? 1 : 0;
    if (!allows) this.allCommands = false;
  }

  /** Adds a rule about commands, and drops those before it that it makes void: for the same name, and for its parts. */
  private noteRule(name: string, allows: boolean): void {
    const lower = name.toLowerCase();
    this.rules = this.rules.filter((rule) => rule.slice(1) !== lower && !rule.startsWith(`${lower}|`, 1));
    this.rules.push(`${allows ? "+" : "-"}${lower}`);
  }
}

/** A user while rules are applied to it. */
export class UserDraft {
  private isEnabled = false;
  private needsNoPassword = false;
  private passwords: string[] = [];
  private sanitizesPayload: boolean | null = null;
  private selectors: SelectorDraft[];

  constructor(
    private readonly name: string,
    private readonly table: CommandTable,
    private readonly defaults: RuleDefaults,
  ) {
    this.selectors = [new SelectorDraft(table, defaults)];
  }

  static of(user: User, table: CommandTable, defaults: RuleDefaults): UserDraft {
    const draft = new UserDraft(user.name, table, defaults);
    draft.isEnabled = user.isEnabled;
    draft.needsNoPassword = user.needsNoPassword;
    draft.passwords = [...user.passwords];
    draft.sanitizesPayload = user.sanitizesPayload;
    draft.selectors = user.selectors.map((selector) => SelectorDraft.of(selector, table));
    return draft;
  }

  finish(): User {
    const { name, isEnabled, needsNoPassword, passwords, sanitizesPayload, selectors } = this;
    return new User(name, isEnabled, needsNoPassword, passwords, sanitizesPayload, selectors);
  }

  /** Applies one rule. Returns null, or why it is refused. */
  apply(rule: string): RuleError | null {
    if (rule === "") return null;
    switch (rule.toLowerCase()) {
      case "on":
      case "off":
        this.isEnabled = rule.length === 2;
        return null;
      case "sanitize-payload":
      case "skip-sanitize-payload":
        this.sanitizesPayload = rule.length === SANITIZE_LENGTH;
        return null;
      case "nopass":
        return this.setOpen(true);
      case "resetpass":
        return this.setOpen(false);
      case "clearselectors":
        this.selectors.length = 1;
        return null;
      case "reset":
        this.reset();
        return null;
    }
    if (/^[><#!]/.test(rule)) return this.setPassword(rule[0]!, rule.slice(1));
    if (rule.startsWith("(") && rule.endsWith(")")) return this.addSelector(rule.slice(1, -1));
    return this.selectors[0]!.apply(rule);
  }

  private setOpen(needsNoPassword: boolean): null {
    this.needsNoPassword = needsNoPassword;
    this.passwords = [];
    return null;
  }

  private reset(): void {
    this.setOpen(false);
    this.isEnabled = false;
    this.sanitizesPayload = true;
    this.selectors.length = 1;
    const [root] = this.selectors;
    root!.setKeys(false);
    root!.setChannels(this.defaults.allChannels);
    root!.setCommands(false);
  }

  private setPassword(sign: string, text: string): RuleError | null {
    const isPlain = sign === ">" || sign === "<";
    if (!isPlain && !HASH.test(text)) return RuleError.badHash;
    const hash = isPlain ? passwordHash(Buffer.from(text, "latin1")) : text;
    const at = this.passwords.indexOf(hash);
    if (sign === ">" || sign === "#") {
      if (at < 0) this.passwords.push(hash);
      this.needsNoPassword = false;
      return null;
    }
    if (at < 0) return RuleError.noSuchPassword;
    this.passwords.splice(at, 1);
    return null;
  }

  private addSelector(text: string): RuleError | null {
    const selector = new SelectorDraft(this.table, this.defaults);
    for (const rule of wordsOf(text)) {
      const refused = selector.apply(rule);
      if (refused !== null) return refused;
    }
    this.selectors.push(selector);
    return null;
  }
}
const SANITIZE_LENGTH = "sanitize-payload".length;
const HASH = /^[0-9a-f]{64}$/;

/** The words of a line. Only blanks of ASCII separate them, because a text may be UTF-8 read a byte a character. */
export function wordsOf(text: string): string[] {
  return text.split(/[ \t\n\r\v\f]+/).filter((word) => word !== "");
}

/** The form in which passwords are kept: SHA-256 in hexadecimal digits. */
export function passwordHash(password: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(password).digest("hex");
}

/** True when a name or pattern could not be read back from a file. */
export function hasSpaces(text: string): boolean {
  return /[ \t\n\v\f\r\0]/.test(text);
}

function permissionOf(letters: string): number {
  return (/r/i.test(letters) ? Permission.Read : 0) | (/w/i.test(letters) ? Permission.Write : 0);
}

/** Rules with the parts of each selector joined: "(+get", "~a)" are one. A text is what follows the parenthesis that stays open. */
export function joinSelectors(rules: readonly string[]): string[] | string {
  const joined: string[] = [];
  let open: string | null = null;
  let opening = "";
  for (const rule of rules) {
    if (open === null && rule.startsWith("(") && !rule.endsWith(")")) {
      open = opening = rule;
    } else if (open === null) {
      joined.push(rule);
    } else {
      open = `${open} ${rule}`;
      if (!rule.endsWith(")")) continue;
      joined.push(open);
      open = null;
    }
  }
  return open === null ? joined : opening;
}
