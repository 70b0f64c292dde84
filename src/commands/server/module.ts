/** MODULE: no modules can be loaded. */
import { type HelpEntry, replyHelp } from "../../dispatch/help-reply.ts";
import type { Call } from "../../dispatch/call.ts";
import type { Reply } from "../../protocol/reply.ts";

const NOT_ALLOWED =
  'ERR MODULE command not allowed. If the enable-module-command option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.';

/** MODULE LIST */
export function list(_call: Call, reply: Reply): void {
  reply.array(0);
}

/** MODULE LOAD path [arg ...], LOADEX and UNLOAD: Redis's answer while modules are not allowed. */
export function refuseNotAllowed(_call: Call, reply: Reply): void {
  reply.error(NOT_ALLOWED);
}

const HELP: readonly HelpEntry[] = [
  ["LIST", "Return a list of loaded modules."],
  ["LOAD <path> [<arg> ...]", "Load a module library from <path>, passing to it any optional arguments."],
  [
    "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
    "Load a module library from <path>, while passing it module configurations and optional arguments.",
  ],
  ["UNLOAD <name>", "Unload a module."],
];

export function help(_call: Call, reply: Reply): void {
  replyHelp(reply, "MODULE", HELP);
}
