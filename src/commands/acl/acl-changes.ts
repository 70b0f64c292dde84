/** The ACL commands that concern all workers: changes of users, the ACL file, and the log of what was denied. */
import { userLine } from "../../acl/describe.ts";
import { hasSpaces } from "../../acl/rules.ts";
import { Denied } from "../../dispatch/access.ts";
import type { Call } from "../../dispatch/call.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";
import { DEFAULT_NAME } from "../../dispatch/user.ts";
import type { AclLogEntry, ChangeResult, UserChange } from "../../dispatch/user-service.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { latin1, wrongUse } from "./acl.ts";

const NO_FILE =
  "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.";

/** Applies a change in every worker, and then replies with `write`. */
function change(call: Call, what: UserChange, write: (reply: Reply, result: ChangeResult) => void): Outcome {
  const { server, session } = call;
  server.users.changeUsers(what, session, (result) =>
    server.resume(
      session,
      (later) => (result.error === "" ? write(later, result) : later.error(`ERR ${oneLine(result.error)}`)),
      result.endsAsker,
    ),
  );
  return Later;
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]/g, " ");
}

/** ACL SETUSER username [rule ...]. All rules are applied, or none. */
export function setUser(call: Call, reply: Reply): Outcome | void {
  const name = call.argText(2);
  if (hasSpaces(name)) return reply.error("ERR Usernames can't contain spaces or null characters");
  return change(call, { kind: "set", name, rules: textsFrom(call, 3) }, (later) => later.ok());
}

/** ACL DELUSER username [username ...]. Their connections end. Replies: the number of users that there were. */
export function deleteUsers(call: Call, reply: Reply): Outcome | void {
  const names = textsFrom(call, 2);
  if (names.includes(DEFAULT_NAME)) return reply.error("ERR The 'default' user cannot be removed");
  return change(call, { kind: "delete", names }, (later, { deleted }) => later.integer(deleted));
}

/** ACL LOAD */
export function load(call: Call, reply: Reply): Outcome | void {
  const path = call.config.text("server.acl_file");
  if (path === "") return reply.error(NO_FILE);
  const { text, error } = call.server.users.readAclFile(path);
  if (error !== "") return reply.error(`ERR Error loading ACLs, opening file '${path}': ${error}`);
  return change(call, { kind: "load", text, path }, (later) => later.ok());
}

/** ACL SAVE. The file is replaced as a whole. */
export function save(call: Call, reply: Reply): void {
  const path = call.config.text("server.acl_file");
  if (path === "") return reply.error(NO_FILE);
  const failure = call.server.users.writeAclFile(path, call.users.all.map(userLine));
  if (failure === "") return reply.ok();
  call.server.logs?.target("acl").error("acl_save_failed", `ACL SAVE: ${path} could not be written: ${failure}`);
  reply.error("ERR There was an error trying to save the ACLs. Please check the server logs for more information");
}

const SHOWN = 10;
const REASONS: Readonly<Record<number, string>> = {
  [Denied.Command]: "command",
  [Denied.Key]: "key",
  [Denied.Channel]: "channel",
  [Denied.Auth]: "auth",
};

/** ACL LOG [count | RESET] */
export function log(call: Call, reply: Reply): Outcome | void {
  const { server, session, clock } = call;
  if (call.argCount > 3) return reply.error(wrongUse(call));
  if (call.argCount === 3 && call.argText(2).toLowerCase() === "reset") {
    server.users.forgetDenials(() => server.resume(session, (later) => later.ok()));
    return Later;
  }
  const count = call.argCount === 3 ? call.argLong(2) : SHOWN;
  if (Number.isNaN(count)) return reply.error(ErrorText.notInteger);
  server.users.listDenials((entries) =>
    server.resume(session, (later) => writeLog(later, entries.slice(0, Math.max(0, count)), clock.wallMs())),
  );
  return Later;
}

function writeLog(reply: Reply, entries: readonly AclLogEntry[], nowMs: number): void {
  reply.array(entries.length);
  for (const { id, count, reason, context, object, user, createdMs, updatedMs, client } of entries) {
    reply.map(10);
    reply.text("count");
    reply.integer(count);
    const texts = [
      ["reason", REASONS[reason]!],
      ["context", context],
      ["object", object],
      ["username", user],
    ] as const;
    for (const [name, text] of texts) {
      reply.text(name);
      latin1(reply, text);
    }
    reply.text("age-seconds");
    reply.double((nowMs - updatedMs) / 1000);
    reply.text("client-info");
    latin1(reply, client);
    const numbers = [
      ["entry-id", id],
      ["timestamp-created", createdMs],
      ["timestamp-last-updated", updatedMs],
    ] as const;
    for (const [name, number] of numbers) {
      reply.text(name);
      reply.integer(number);
    }
  }
}

function textsFrom(call: Call, first: number): string[] {
  return Array.from({ length: call.argCount - first }, (_, i) => call.argText(first + i));
}
