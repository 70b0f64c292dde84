/** CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO: client-side caching (dispatch/tracking.ts). */
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import type { Session } from "../../dispatch/session.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";
import { Opt, type Tracker, type TrackingOptions } from "../../dispatch/tracking.ts";

const ON = token("on");
const OFF = token("off");
const YES = token("yes");
const NO = token("no");
const REDIRECT = token("redirect");
const PREFIX = token("prefix");
const BCAST = token("bcast");
const OPTIN = token("optin");
const OPTOUT = token("optout");
const NOLOOP = token("noloop");

const TOO_MANY = "ERR too many clients of this worker track keys";
const NO_SUCH_CLIENT = "ERR The client ID you want redirect to does not exist";
const OTHER_MODE = "before disabling tracking for this client, and then re-enabling it with a different mode.";

interface Options {
  redirect: number;
  isBroadcast: boolean;
  isIn: boolean;
  isOut: boolean;
  noLoop: boolean;
  /** As latin1 text. */
  readonly prefixes: string[];
}

/** CLIENT TRACKING ON | OFF [REDIRECT id] [PREFIX prefix ...] [BCAST] [OPTIN | OPTOUT] [NOLOOP] */
export function tracking(call: Call, reply: Reply): Outcome | void {
  const { session, server } = call;
  const options = readOptions(call);
  if (typeof options === "string") return reply.error(options);
  const { redirect } = options;
  if (redirect === 0 || !canWait(call)) return turn(call, reply, options);
  // The options may concern a client that is gone when the answer comes: what the arguments say is read before.
  const isOn = call.argIs(2, ON);
  const isOff = call.argIs(2, OFF);
  server.listClients({ only: { ids: [redirect] }, not: {} }, (lines) => {
    if (lines.length === 0) return server.resume(session, (later) => later.error(NO_SUCH_CLIENT));
    if (isOn) return turnOnLater(call, session, options);
    if (isOff) call.tracking.end(session);
    server.resume(session, (later) => (isOff ? later.ok() : later.error(ErrorText.syntax)));
  });
  return Later;
}

/** Inside a transaction or a script nothing may wait for other threads. */
function canWait({ store }: Call): boolean {
  return !store.section.isAtOnce;
}

function readOptions(call: Call): Options | string {
  const options: Options = { redirect: 0, isBroadcast: false, isIn: false, isOut: false, noLoop: false, prefixes: [] };
  for (let i = 3; i < call.argCount; i++) {
    const isLast = i === call.argCount - 1;
    if (call.argIs(i, REDIRECT) && !isLast) {
      if (options.redirect !== 0) return "ERR A client can only redirect to a single other client";
      options.redirect = call.argLong(++i);
      if (Number.isNaN(options.redirect)) return ErrorText.notInteger;
      if (options.redirect <= 0) return NO_SUCH_CLIENT;
    } else if (call.argIs(i, PREFIX) && !isLast) {
      options.prefixes.push(call.argText(++i));
    } else if (call.argIs(i, BCAST)) {
      options.isBroadcast = true;
    } else if (call.argIs(i, OPTIN)) {
      options.isIn = true;
    } else if (call.argIs(i, OPTOUT)) {
      options.isOut = true;
    } else if (call.argIs(i, NOLOOP)) {
      options.noLoop = true;
    } else {
      return ErrorText.syntax;
    }
  }
  return options;
}

function turn(call: Call, reply: Reply, options: Options): Outcome | void {
  const { session } = call;
  if (call.argIs(2, OFF)) call.tracking.end(session);
  else if (!call.argIs(2, ON)) return reply.error(ErrorText.syntax);
  else return turnOn(call, reply, options);
  reply.ok();
}

/** Turns tracking on. Other workers are told of prefixes before the reply, or in a transaction as soon as possible. */
function turnOn(call: Call, reply: Reply, options: Options): Outcome | void {
  const { session, server } = call;
  const problem = problemOf(session, options);
  if (problem !== "") return reply.error(problem);
  if (!call.tracking.begin(session, optionsOf(options))) return reply.error(TOO_MANY);
  if (canWait(call) && options.isBroadcast && server.sharePrefixes !== undefined) {
    call.tracking.addPrefixes(session, options.prefixes, () => server.resume(session, (later) => later.ok()));
    return Later;
  }
  if (options.isBroadcast) call.tracking.addPrefixes(session, options.prefixes, () => {});
  reply.ok();
}

/** As turnOn, for a command that has waited for the answer about its redirection. */
function turnOnLater(call: Call, session: Session, options: Options): void {
  const { server } = call;
  let problem = problemOf(session, options);
  if (problem === "" && !call.tracking.begin(session, optionsOf(options))) problem = TOO_MANY;
  if (problem !== "") return server.resume(session, (later) => later.error(problem));
  const done = () => server.resume(session, (later) => later.ok());
  if (options.isBroadcast) call.tracking.addPrefixes(session, options.prefixes, done);
  else done();
}

function optionsOf({ isBroadcast, isIn, isOut, noLoop, redirect }: Options): TrackingOptions {
  return { isBroadcast, opt: isIn ? Opt.In : isOut ? Opt.Out : Opt.All, noLoop, redirect };
}

/** Why tracking cannot be turned on with these options, "" = it can. */
function problemOf({ tracking: before }: Session, options: Options): string {
  const { isBroadcast, isIn, isOut, prefixes } = options;
  if (!isBroadcast && prefixes.length > 0) return "ERR PREFIX option requires BCAST mode to be enabled";
  if (before !== null && before.isBroadcast !== isBroadcast)
    return `ERR You can't switch BCAST mode on/off ${OTHER_MODE}`;
  if (isBroadcast && (isIn || isOut)) return "ERR OPTIN and OPTOUT are not compatible with BCAST";
  if (isIn && isOut) return "ERR You can't specify both OPTIN mode and OPTOUT mode";
  if ((isIn && before?.opt === Opt.Out) || (isOut && before?.opt === Opt.In)) {
    return `ERR You can't switch OPTIN/OPTOUT mode ${OTHER_MODE}`;
  }
  return isBroadcast ? collisionOf(before, prefixes) : "";
}

function collisionOf(before: Tracker | null, prefixes: readonly string[]): string {
  for (const [i, prefix] of prefixes.entries()) {
    const known = before?.sortedPrefixes().find((other) => overlap(prefix, other));
    if (known !== undefined) return collision(prefix, `an existing prefix '${known}'`);
    const given = prefixes.slice(i + 1).find((other) => overlap(prefix, other));
    if (given !== undefined) return collision(prefix, `another provided prefix '${given}'`);
  }
  return "";
}

function collision(prefix: string, other: string): string {
  return `ERR Prefix '${prefix}' overlaps with ${other}. Prefixes for a single client must not overlap.`;
}

function overlap(a: string, b: string): boolean {
  return a.length < b.length ? b.startsWith(a) : a.startsWith(b);
}

/** CLIENT CACHING YES | NO: whether the keys of the next command, or of those up to EXEC, are tracked. */
export function caching(call: Call, reply: Reply): void {
  const { tracking: tracker } = call.session;
  if (tracker === null) {
    return reply.error(
      "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    );
  }
  if (call.argIs(2, YES)) {
    if (tracker.opt !== Opt.In) {
      return reply.error("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
    }
  } else if (call.argIs(2, NO)) {
    if (tracker.opt !== Opt.Out) {
      return reply.error("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
    }
  } else {
    return reply.error(ErrorText.syntax);
  }
  tracker.isCachingGiven = true;
  reply.ok();
}

/** CLIENT GETREDIR. Replies: the client that gets the invalidations, 0 = this one, -1 = it does not track. */
export function getRedirect(call: Call, reply: Reply): void {
  reply.integer(call.session.tracking?.redirect ?? -1);
}

/** CLIENT TRACKINGINFO */
export function trackingInfo(call: Call, reply: Reply): void {
  const { tracking: tracker } = call.session;
  reply.map(3);
  reply.text("flags");
  const flags = tracker === null ? ["off"] : flagsOf(tracker);
  reply.set(flags.length);
  for (const flag of flags) reply.text(flag);
  reply.text("redirect");
  reply.integer(tracker?.redirect ?? -1);
  reply.text("prefixes");
  const prefixes = tracker?.sortedPrefixes() ?? [];
  reply.array(prefixes.length);
  for (const prefix of prefixes) {
    const bytes = Buffer.from(prefix, "latin1");
    reply.bulk(bytes, 0, bytes.length);
  }
}

function flagsOf({ isBroadcast, opt, isCachingGiven, noLoop, isBroken }: Tracker): string[] {
  return [
    "on",
    isBroadcast ? "bcast" : "",
    opt === Opt.In ? "optin" : "",
    opt === Opt.In && isCachingGiven ? "caching-yes" : "",
    opt === Opt.Out ? "optout" : "",
    opt === Opt.Out && isCachingGiven ? "caching-no" : "",
    noLoop ? "noloop" : "",
    isBroken ? "broken_redirect" : "",
  ].filter((flag) => flag !== "");
}
