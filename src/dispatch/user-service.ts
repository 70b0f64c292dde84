/** The users as handlers see them (acl/users.ts), and what they ask of the server about users. */
import type { Denied, DeniedContext } from "./access.ts";
import type { Session } from "./session.ts";
import type { User } from "./user.ts";

export interface UserDirectory {
  readonly defaultUser: User;
  /** `name`: a byte a character. */
  find(name: string): User | null;
  /** All users by name. */
  readonly all: readonly User[];
}

/** A change of the users. Texts are a byte a character. */
export type UserChange =
  | { readonly kind: "set"; readonly name: string; readonly rules: readonly string[] }
  | { readonly kind: "delete"; readonly names: readonly string[] }
  /** Replaces all users by those of an ACL file. */
  | { readonly kind: "load"; readonly text: string; readonly path: string };

/** What a change came to. `error`: why nothing was changed, "" = it was. */
export interface ChangeResult {
  readonly error: string;
  readonly deleted: number;
  /** The connection that asked is one of those that the change ends. */
  readonly endsAsker: boolean;
}

/** An entry of ACL LOG. */
export interface AclLogEntry {
  /** Unique in the process. */
  readonly id: number;
  count: number;
  readonly reason: Denied;
  readonly context: DeniedContext;
  readonly object: string;
  readonly user: string;
  /** Wall ms. */
  readonly createdMs: number;
  updatedMs: number;
  /** Line of CLIENT LIST of the last client. */
  client: string;
}

export interface UserService {
  /** Changes the users in every worker. `done`: all connections have the new rights. */
  changeUsers(change: UserChange, asker: Session, done: (result: ChangeResult) => void): void;
  /** The denials that all workers noted, newest first. */
  listDenials(done: (entries: readonly AclLogEntry[]) => void): void;
  forgetDenials(done: () => void): void;
  /** Reads the text of the ACL file, a byte a character. Returns why it cannot in `error`. */
  readAclFile(path: string): { readonly text: string; readonly error: string };
  /** Replaces the ACL file by `lines`. Returns why it cannot, "" = it did. */
  writeAclFile(path: string, lines: readonly string[]): string;
}
