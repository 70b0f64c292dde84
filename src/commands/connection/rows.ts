/** The command table's rows of connection. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import {
  ADMIN,
  ALLOW_BUSY,
  ASKS_THREADS,
  type CommandSpec,
  FAST,
  FOR_SUBSCRIBERS,
  LOADING,
  NEVER_QUEUED,
  NO_AUTH,
  NO_SCRIPT,
  STALE,
} from "../../dispatch/spec.ts";
import { wait } from "../replication/wait.ts";
import * as connection from "./connection.ts";
import * as client from "./client.ts";
import * as tracking from "./tracking.ts";
import { CONNECTION_DOCS } from "./docs.ts";

const OPEN = NO_SCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY;
const ABOUT_SELF = NO_SCRIPT | LOADING | STALE;
const ABOUT_OTHERS = ADMIN | NO_SCRIPT | LOADING | STALE;
const ASKS_OTHERS = ABOUT_OTHERS | ASKS_THREADS;

const TRAITS = { group: "connection", categories: ["connection"], docs: CONNECTION_DOCS };

// biome-ignore format: a table, one command a line
export const connectionFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "PING",              arity: -1, flags: FAST | FOR_SUBSCRIBERS, run: connection.ping },
  { name: "ECHO",              arity:  2, flags: FAST | LOADING | STALE, run: connection.echo },
  { name: "HELLO",             arity: -1, flags: OPEN,                   run: connection.hello },
  { name: "AUTH",              arity: -2, flags: OPEN,                   run: connection.auth },
  { name: "SELECT",            arity:  2, flags: FAST | LOADING | STALE, run: connection.select },
  { name: "QUIT",              arity: -1, flags: OPEN | NEVER_QUEUED | FOR_SUBSCRIBERS, run: connection.quit },
  { name: "RESET",             arity:  1, flags: OPEN | NEVER_QUEUED | FOR_SUBSCRIBERS, run: connection.reset },
  { name: "CLIENT", arity: -2, subcommands: [
    { name: "CLIENT|ID",       arity:  2, flags: ABOUT_SELF,             run: client.id },
    { name: "CLIENT|GETNAME",  arity:  2, flags: ABOUT_SELF,             run: client.getName },
    { name: "CLIENT|SETNAME",  arity:  3, flags: ABOUT_SELF,             run: client.setName },
    { name: "CLIENT|SETINFO",  arity:  4, flags: ABOUT_SELF,             run: client.setInfo },
    { name: "CLIENT|INFO",     arity:  2, flags: ABOUT_SELF,             run: client.info },
    { name: "CLIENT|LIST",     arity: -2, flags: ASKS_OTHERS,           run: client.list },
    { name: "CLIENT|KILL",     arity: -3, flags: ASKS_OTHERS,           run: client.kill },
    { name: "CLIENT|NO-EVICT", arity:  3, flags: ABOUT_OTHERS,           run: client.noEvict },
    { name: "CLIENT|REPLY",    arity:  3, flags: ABOUT_SELF,             run: client.replies },
    { name: "CLIENT|PAUSE",    arity: -3, flags: ASKS_OTHERS,           run: client.pause },
    { name: "CLIENT|UNPAUSE",  arity:  2, flags: ASKS_OTHERS,           run: client.unpause },
    { name: "CLIENT|UNBLOCK",  arity: -3, flags: ASKS_OTHERS,           run: client.unblock },
    { name: "CLIENT|NO-TOUCH", arity:  3, flags: ABOUT_SELF,             run: client.noTouch },
    { name: "CLIENT|TRACKING", arity: -3, flags: ABOUT_SELF,             run: tracking.tracking },
    { name: "CLIENT|CACHING",  arity:  3, flags: ABOUT_SELF,             run: tracking.caching },
    { name: "CLIENT|GETREDIR", arity:  2, flags: ABOUT_SELF,             run: tracking.getRedirect },
    { name: "CLIENT|TRACKINGINFO", arity: 2, flags: ABOUT_SELF,          run: tracking.trackingInfo },
    { name: "CLIENT|HELP",     arity:  2, flags: LOADING | STALE,        run: client.help },
  ] },
  { name: "WAIT",              arity:  3, flags: NO_SCRIPT,              run: wait },
]);
