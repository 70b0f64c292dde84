/** Commands about the connection itself. */
import { token } from "../../base/bytes.ts";
import { Int64Kind, int64 } from "../../base/integers.ts";
import type { Session } from "../../dispatch/session.ts";
import { DEFAULT_NAME } from "../../dispatch/user.ts";
import { login } from "./login.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { REDIS_VERSION } from "../../dispatch/services.ts";
import { Close, type Outcome } from "../../dispatch/spec.ts";

const HELLO_AUTH = token("auth");
const HELLO_SETNAME = token("setname");

const HELLO_NOAUTH =
  "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";
const BAD_NAME = "ERR Client names cannot contain spaces, newlines or special characters.";

/**
 * PING [message]. A subscriber that speaks RESP2 gets an array, in which "pong" tells it from a message. While writes are refused
 * because of the disk, PING is answered with that error: Sentinel then fails over.
 */
export function ping(call: Call, reply: Reply): void {
  if (call.diskFailure !== "" && !call.session.isPrimary) return reply.error(call.diskFailure);
  if (call.session.isRestricted && call.argCount <= 2) {
    reply.array(2);
    reply.text("pong");
    if (call.argCount === 1) reply.text("");
    else reply.bulk(call.bytes, call.argAt(1), call.argBytes(1));
    return;
  }
  if (call.argCount === 1) reply.pong();
  else if (call.argCount === 2) reply.bulk(call.bytes, call.argAt(1), call.argBytes(1));
  else reply.error("ERR wrong number of arguments for 'ping' command");
}

export function echo(call: Call, reply: Reply): void {
  reply.bulk(call.bytes, call.argAt(1), call.argBytes(1));
}

/**
 * HELLO [protover [AUTH username password] [SETNAME clientname]]
 * Replies: map of server facts. All arguments are read before the first takes effect.
 */
export function hello(call: Call, reply: Reply): Outcome | void {
  const { session } = call;
  let protocol: 2 | 3 = session.protocol;
  if (call.argCount > 1) {
    const kind = call.argInt64(1);
    if (kind === Int64Kind.None) return reply.error(ErrorText.protoNotInteger);
    const version = kind === Int64Kind.Safe ? int64.value : 0;
    if (version !== 2 && version !== 3) return reply.error(ErrorText.noProto);
    protocol = version;
  }
  let userAt = 0;
  let nameAt = 0;
  for (let i = 2; i < call.argCount; i++) {
    const more = call.argCount - 1 - i;
    if (more >= 2 && call.argIs(i, HELLO_AUTH)) {
      userAt = i + 1;
      i += 2;
    } else if (more >= 1 && call.argIs(i, HELLO_SETNAME)) {
      nameAt = ++i;
      if (!isPlain(call, i)) return reply.error(BAD_NAME);
    } else {
      return reply.error(`ERR Syntax error in HELLO option '${call.argText(i)}'`);
    }
  }
  const name = nameAt === 0 ? null : call.argText(nameAt);
  const greet = (to: Reply): void => greetClient(session, protocol, name, to);
  if (userAt !== 0) return login(call, reply, call.argText(userAt), userAt + 1, greet);
  if (!session.authenticated) return reply.error(HELLO_NOAUTH);
  greet(reply);
}

/** Sets what HELLO asked for, and replies the facts about the server. */
function greetClient(session: Session, protocol: 2 | 3, name: string | null, reply: Reply): void {
  if (name !== null) session.name = name;
  session.protocol = protocol;
  reply.protocol = protocol;
  reply.map(7);
  reply.text("server");
  reply.text("redis");
  reply.text("version");
  reply.text(REDIS_VERSION);
  reply.text("proto");
  reply.integer(protocol);
  reply.text("id");
  reply.integer(session.id);
  reply.text("mode");
  reply.text("standalone");
  reply.text("role");
  reply.text("master");
  reply.text("modules");
  reply.array(0);
}

/** AUTH [username] password */
export function auth(call: Call, reply: Reply): Outcome | void {
  if (call.argCount > 3) return reply.error(ErrorText.syntax);
  const withUser = call.argCount === 3;
  if (!withUser && call.users.defaultUser.needsNoPassword) return reply.error(ErrorText.authNotConfigured);
  const name = withUser ? call.argText(1) : DEFAULT_NAME;
  return login(call, reply, name, withUser ? 2 : 1, (to) => to.ok());
}

export function select(call: Call, reply: Reply): void {
  const kind = call.argInt64(1);
  if (kind === Int64Kind.None) return reply.error(ErrorText.notInteger);
  if (kind === Int64Kind.Wide || int64.value > 0x7fffffff || int64.value < -0x80000000) {
    return reply.error("ERR value is out of range, value must between -2147483648 and 2147483647");
  }
  const db = int64.value;
  if (db < 0 || db >= call.keyspaces.databases) return reply.error(ErrorText.databaseOutOfRange);
  call.session.db = db;
  reply.ok();
}

export function quit(_call: Call, reply: Reply): Outcome {
  reply.ok();
  return Close;
}

export function reset(call: Call, reply: Reply): void {
  call.transactions.discard(call.session);
  call.tracking.end(call.session);
  if (call.session.receiver !== null) call.pubsub.unsubscribeAll(call.session.receiver);
  if (call.session.monitors) call.server.stopMonitoring?.(call.session);
  call.session.reset(call.users.defaultUser);
  reply.protocol = 2;
  reply.simple("RESET");
}

/** True when the argument has only the bytes "!" to "~", which client names and attributes may contain. */
export function isPlain(call: Call, i: number): boolean {
  const at = call.argAt(i);
  for (let byte = at; byte < at + call.argBytes(i); byte++) {
    if (call.bytes[byte]! < 0x21 || call.bytes[byte]! > 0x7e) return false;
  }
  return true;
}
