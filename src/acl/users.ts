/**
 * Users: the users of this worker. All workers have the same ones: a change goes through the main thread, which brings all
 * changes into one order, and each worker applies it to its own copy. The result depends on nothing else, so all workers
 * arrive at the same users and the same error.
 *
 *   SETUSER ─ ask ─► main thread ─► every worker: apply, then sessions get the new user ─ answers ─► reply
 */
import type { CommandTable } from "../dispatch/command-table.ts";
import { DEFAULT_NAME, User } from "../dispatch/user.ts";
import type { UserChange, UserDirectory } from "../dispatch/user-service.ts";
import { readAclFile } from "./acl-file.ts";
import { joinSelectors, passwordHash, type RuleDefaults, UserDraft } from "./rules.ts";

/** What the configuration says about users. */
export interface UserSettings {
  /** requirepass, "" = none. */
  readonly password: string;
  /** Rules by name, texts a byte a character. */
  readonly users: Readonly<Record<string, string>>;
  readonly defaults: RuleDefaults;
}

/** The user that takes the place of another one; null = none: its connections end. */
export type Replacement = (before: User) => User | null;

export class Users implements UserDirectory {
  private byName = new Map<string, User>();
  /** Gives sessions their new users after a change. Set by the owner. */
  onChange: (replacement: Replacement) => void = () => {};
  /** The users are those that the configuration makes. */
  isAsConfigured = true;

  constructor(
    private readonly table: CommandTable,
    /** Of the configuration as it is now. */
    public settings: UserSettings,
  ) {
    const users = usersOf(table, settings);
    if (typeof users === "string") throw new RangeError(users);
    this.byName = users;
  }

  get defaultUser(): User {
    return this.byName.get(DEFAULT_NAME)!;
  }
  find(name: string): User | null {
    return this.byName.get(name) ?? null;
  }
  /** All users by name. */
  get all(): User[] {
    return [...this.byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** requirepass, the default user's only password, was set; "" = it needs none. */
  setPassword(password: string): void {
    this.replace(withPassword(this.defaultUser, password));
  }

  /** Applies a change. Returns why it is refused, "" = it is not, and the number of users that it deleted. */
  apply(change: UserChange): { error: string; deleted: number } {
    switch (change.kind) {
      case "set":
        return { error: this.set(change.name, change.rules), deleted: 0 };
      case "delete":
        return { error: "", deleted: this.remove(change.names) };
      case "load":
        return { error: this.load(change.text, change.path), deleted: 0 };
    }
  }

  private set(name: string, rules: readonly string[]): string {
    const joined = joinSelectors(rules);
    if (typeof joined === "string") return `Unmatched parenthesis in acl selector starting at '${joined}'.`;
    const { table } = this;
    const { defaults } = this.settings;
    const before = this.find(name);
    const draft = before === null ? new UserDraft(name, table, defaults) : UserDraft.of(before, table, defaults);
    for (const rule of joined) {
      const refused = draft.apply(rule);
      if (refused !== null) return `Error in ACL SETUSER modifier '${rule}': ${refused}`;
    }
    this.isAsConfigured = false;
    this.replace(draft.finish());
    return "";
  }

  private replace(user: User): void {
    const before = this.find(user.name);
    this.byName.set(user.name, user);
    if (before !== null) this.onChange((other) => (other === before ? user : other));
  }

  private remove(names: readonly string[]): number {
    const removed = new Set<User>();
    for (const name of names) {
      const user = this.find(name);
      if (user === null || user.name === DEFAULT_NAME) continue;
      removed.add(user);
      this.byName.delete(name);
    }
    if (removed.size === 0) return 0;
    this.isAsConfigured = false;
    this.onChange((user) => (removed.has(user) ? null : user));
    return removed.size;
  }

  private load(text: string, path: string): string {
    const users = readAclFile(text, path, this.table, this.settings.defaults);
    if (typeof users === "string") return users;
    const before = this.byName;
    this.byName = new Map(users);
    // A file that says nothing about the default user leaves it as the configuration has it.
    if (!users.has(DEFAULT_NAME)) this.byName.set(DEFAULT_NAME, defaultUser(this.table, this.settings));
    this.isAsConfigured = false;
    this.onChange((user) => (before.get(user.name) === user ? this.find(user.name) : user));
    return "";
  }
}

/** The users that the configuration makes, or why it cannot. */
export function usersOf(table: CommandTable, settings: UserSettings): Map<string, User> | string {
  const users = new Map([[DEFAULT_NAME, defaultUser(table, settings)]]);
  for (const [name, text] of Object.entries(settings.users)) {
    const draft = new UserDraft(name, table, settings.defaults);
    // Redis makes the configured default user out of the one it has.
    if (name === DEFAULT_NAME) draft.apply("reset");
    const rules = joinSelectors(text.split(" "));
    if (typeof rules === "string") return `Unmatched parenthesis in acl selector starting at '${rules}'.`;
    for (const rule of rules) {
      const refused = draft.apply(rule);
      // A rule may be a password, so only its kind is shown.
      const shown = /^[><#!]/.test(rule) ? `${rule[0]}...` : rule;
      if (refused !== null) return `Error loading ACL rule '${shown}' for the user named '${name}': ${refused}`;
    }
    users.set(name, draft.finish());
  }
  return users;
}

function defaultUser(table: CommandTable, { password, defaults }: UserSettings): User {
  const draft = new UserDraft(DEFAULT_NAME, table, defaults);
  for (const rule of ["+@all", "~*", "&*", "on", "nopass"]) draft.apply(rule);
  return withPassword(draft.finish(), password);
}

function withPassword(user: User, password: string): User {
  const passwords = password === "" ? [] : [passwordHash(Buffer.from(password))];
  return new User(user.name, user.isEnabled, password === "", passwords, user.sanitizesPayload, user.selectors);
}
