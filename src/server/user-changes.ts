/**
 * Changes of users in one worker: applied to its copy of the users, then to the sessions of its clients. Connections of a
 * deleted user end, and those that subscribe to a channel to which their user has lost the right. A change comes between
 * two turns, when no command runs.
 */
import { resolve } from "node:path";
import { AclLog, mergeAclLogs } from "../acl/acl-log.ts";
import type { Replacement } from "../acl/users.ts";
import type { Config } from "../base/config/config.ts";
import { errorWords } from "../base/errors.ts";
import { FileFailure, type Files, readWhole, replaceKeeping } from "../base/files.ts";
import { allowsChannel } from "../dispatch/access.ts";
import type { WaitingRequest } from "../dispatch/blocking.ts";
import type { Session } from "../dispatch/session.ts";
import type { AclLogEntry, ChangeResult, UserChange, UserService } from "../dispatch/user-service.ts";
import type { User } from "../dispatch/user.ts";
import { DENIAL_ID_AT } from "../memory/control.ts";
import { ChannelKind } from "../store/channels.ts";
import type { Client } from "./client.ts";
import type { Engine } from "./engine.ts";

/** What a worker asks all workers about users. */
export type UserAsk =
  | { readonly kind: "change"; readonly change: UserChange; readonly asker: number }
  | { readonly kind: "denials" }
  | { readonly kind: "forgetDenials" };
export interface UserAnswer {
  readonly result: ChangeResult;
  readonly denials: readonly AclLogEntry[];
  /** Most entries that a reader of the log gets. */
  readonly denialsMax: number;
}
/** An answer as it comes with those to other requests. */
type Answered = { readonly kind: string; readonly answer?: unknown };
const NOTHING: UserAnswer = { result: { error: "", deleted: 0, endsAsker: false }, denials: [], denialsMax: 0 };

/** Ends waits of clients. */
export interface WaitEnds {
  /** The client is about to be closed. */
  cancelBlock(client: number): void;
  /** Unblocks the client with an error. */
  unblockClient(client: number, error: string): void;
}

export class UserChanges {
  private readonly log: AclLog;
  /** The session that asked for the change at work, and whether the change ends it. */
  private asker = -1;
  private endsAsker = false;

  constructor(
    private readonly engine: Engine,
    private readonly clients: ReadonlyMap<number, Client>,
    services: { describeClient(session: Session): string },
    private readonly waits: WaitEnds,
  ) {
    const { config } = engine;
    this.log = new AclLog({
      takeId: () => Atomics.add(engine.arena.control.i32, DENIAL_ID_AT, 1),
      wallMs: () => engine.clock.wallMs(),
      describeClient: (session) => services.describeClient(session),
      get entriesMax() {
        return config.number("server.acllog_max_len");
      },
    });
    engine.call.access.log = this.log;
    engine.users.onChange = (replacement) => this.replace(replacement);
  }

  answer(ask: UserAsk): UserAnswer {
    switch (ask.kind) {
      case "change":
        return { ...NOTHING, result: this.change(ask.change, ask.asker) };
      case "denials":
        return { ...NOTHING, denials: this.log.list(), denialsMax: this.log.limit };
      case "forgetDenials":
        this.log.reset();
        return NOTHING;
    }
  }

  private change(change: UserChange, asker: number): ChangeResult {
    this.asker = asker;
    this.endsAsker = false;
    const result = this.engine.users.apply(change);
    this.asker = -1;
    return { ...result, endsAsker: this.endsAsker };
  }

  /** Gives all sessions their new users. */
  private replace(replacement: Replacement): void {
    const { defaultUser } = this.engine.users;
    for (const client of [...this.clients.values()]) {
      if (client.isClosing) continue;
      const { session } = client;
      const { user } = session;
      const next = replacement(user);
      if (next === null || (next !== user && losesChannel(session, user, next))) this.end(client);
      else session.replaceUser(next);
      session.noteDefault(defaultUser);
    }
    this.engine.blocking.eachWaiting((session, request) => this.recheck(session, request));
  }

  /** A client that waits with a command that its user may not run any more gets the error now. */
  private recheck(session: Session, { spec, bytes, starts, lengths }: WaitingRequest): void {
    if (session.isTrusted) return;
    const { call } = this.engine;
    call.setArguments(bytes, starts, lengths, 0, starts.length);
    call.session = session;
    const refusal = call.access.refusal(spec, "toplevel");
    if (refusal !== "") this.waits.unblockClient(session.id, refusal);
  }

  /** Closes a connection; the one that asked gets its reply before. */
  private end(client: Client): void {
    if (client.session.id === this.asker) {
      this.endsAsker = true;
      return;
    }
    this.waits.cancelBlock(client.session.id);
    client.kill();
  }
}

/** What handlers ask about users, over all workers. */
export class UserRequests implements UserService {
  constructor(
    private readonly changes: UserChanges,
    private readonly config: Config,
    private readonly files: Files,
    /** Asks all workers. */
    private readonly ask: (ask: UserAsk, done: (answers: readonly Answered[]) => void) => void,
  ) {}

  answer(ask: UserAsk): UserAnswer {
    return this.changes.answer(ask);
  }

  private askAll(ask: UserAsk, done: (answers: readonly UserAnswer[]) => void): void {
    this.ask(ask, (all) => done(all.flatMap((one) => ("answer" in one ? [one.answer as UserAnswer] : []))));
  }

  changeUsers(change: UserChange, asker: Session, done: (result: ChangeResult) => void): void {
    this.askAll({ kind: "change", change, asker: asker.id }, (answers) =>
      // All workers have applied the same change to the same users.
      done({ ...answers[0]!.result, endsAsker: answers.some(({ result }) => result.endsAsker) }),
    );
  }

  listDenials(done: (entries: readonly AclLogEntry[]) => void): void {
    this.askAll({ kind: "denials" }, (answers) =>
      done(
        mergeAclLogs(
          answers.map(({ denials }) => denials),
          Math.max(...answers.map(({ denialsMax }) => denialsMax)),
        ),
      ),
    );
  }

  forgetDenials(done: () => void): void {
    this.askAll({ kind: "forgetDenials" }, done);
  }

  readAclFile(path: string): { readonly text: string; readonly error: string } {
    return readAclText(this.files, aclPath(this.config, path));
  }
  writeAclFile(path: string, lines: readonly string[]): string {
    return writeAclText(this.files, aclPath(this.config, path), lines);
  }
}

/** True when the session subscribes to a channel that was allowed before and is not now. */
function losesChannel({ subscriptions }: Session, before: User, now: User): boolean {
  if (subscriptions === null || now.selectors.some(({ allChannels }) => allChannels)) return false;
  const known = now.selectors.flatMap(({ channels }) => channels);
  const isWider = before.selectors.every(
    ({ allChannels, channels }) => !allChannels && channels.every((one) => known.some((other) => other.equals(one))),
  );
  if (isWider) return false;
  return Object.values(ChannelKind).some((kind) =>
    [...subscriptions.names[kind]!].some((name) => {
      const bytes = Buffer.from(name, "latin1");
      const isPattern = kind === ChannelKind.Pattern;
      return !now.selectors.some((selector) => allowsChannel(selector, bytes, 0, bytes.length, isPattern));
    }),
  );
}

/** Where the ACL file is: a relative path begins at the data directory, as in Redis, which works in it. */
export function aclPath(config: Config, path: string): string {
  return resolve(config.text("storage.data_dir"), path);
}

/** Reads the text of the ACL file, a byte a character. */
export function readAclText(files: Files, path: string): { text: string; error: string } {
  try {
    return { text: Buffer.from(readWhole(files, path)).toString("latin1"), error: "" };
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    return { text: "", error: thrown.code === "" ? thrown.message : errorWords(thrown.code) };
  }
}

/** Replaces the ACL file. Returns why it cannot, "" = it did. */
export function writeAclText(files: Files, path: string, lines: readonly string[]): string {
  try {
    replaceKeeping(files, path, Buffer.from(lines.map((line) => `${line}\n`).join(""), "latin1"));
    return "";
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    return thrown.code === "" ? thrown.message : errorWords(thrown.code);
  }
}
