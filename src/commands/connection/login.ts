/**
 * Logins: AUTH, and HELLO with AUTH. A password is compared at once, but when its address has failed often the answer comes
 * after a wait (acl/login-guard.ts), and is decided anew then.
 */
import { mayAuthenticate } from "../../acl/credentials.ts";
import { LoginGuard, REFUSED } from "../../acl/login-guard.ts";
import { quoted } from "../../base/log.ts";
import { passwordHash } from "../../acl/rules.ts";
import { contextOf, Denied } from "../../dispatch/access.ts";
import type { Call } from "../../dispatch/call.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";

const TOO_MANY = "ERR too many failed logins from this address, try again later";
/** Failures of an address that are logged: this many, and each time they have doubled. */
const LOGGED_FAILURES = 5;

/** The guard of each engine, by its call. */
const guards = new WeakMap<Call, LoginGuard>();

function guardOf(call: Call): LoginGuard {
  let guard = guards.get(call);
  if (guard === undefined) {
    guard = new LoginGuard(call.store.arena.control);
    guards.set(call, guard);
  }
  return guard;
}

/**
 * Authenticates the client as `name` with the password in argument `passwordAt`, and then calls `proceed` to reply. Otherwise
 * replies the error.
 */
export function login(
  call: Call,
  reply: Reply,
  name: string,
  passwordAt: number,
  proceed: (reply: Reply) => void,
): Outcome | void {
  const { session, server, clock, config } = call;
  const at = call.argAt(passwordAt);
  const hash = passwordHash(call.bytes.subarray(at, at + call.argBytes(passwordAt)));
  const command = call.argText(0);
  const guard = guardOf(call);
  const decide = (to: Reply): void => {
    if (authenticate(call, guard, name, hash, command, session)) proceed(to);
    else to.error(ErrorText.wrongPass);
  };
  const isRight = mayAuthenticate(call.users.find(name), hash);
  if (!isGuarded(session.address) || (isRight && guard.isKnown(session.address, name, hash))) return decide(reply);
  const waitMs = guard.admit(session.address, clock.wallMs(), config.number("server.auth_delay_max"));
  if (waitMs === 0) return decide(reply);
  if (waitMs === REFUSED || session.deniesBlocking || server.block === undefined) return reply.error(TOO_MANY);
  server.block(session, waitMs, decide);
  return Later;
}

function authenticate(
  call: Call,
  guard: LoginGuard,
  name: string,
  hash: string,
  command: string,
  session: Call["session"],
): boolean {
  const user = call.users.find(name);
  const { address } = session;
  if (mayAuthenticate(user, hash)) {
    session.authenticateAs(user!);
    if (isGuarded(address)) guard.succeeded(address, name, hash);
    return true;
  }
  call.access.note(session, Denied.Auth, contextOf(session), command, name);
  call.server.logs?.target("acl").debug(`a login as ${quoted(name)} failed`, { addr: address });
  if (!isGuarded(address)) return false;
  const failures = guard.failed(address, call.clock.wallMs());
  const times = failures / LOGGED_FAILURES;
  if (Number.isInteger(times) && Number.isInteger(Math.log2(times)))
    call.server.logs?.target("acl").warn("failed logins of one address", { failures, addr: address });
  return false;
}

/** Guesses come over a network: "1.2.3.4:5" or "[::1]:5". Unix sockets and the embedded mode have other addresses. */
function isGuarded(address: string): boolean {
  return /^(\d+\.|\[)/.test(address);
}
