/** The command table's rows of ACL. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import { ADMIN, ASKS_THREADS, type CommandSpec, LOADING, NO_SCRIPT, STALE } from "../../dispatch/spec.ts";
import * as acl from "./acl.ts";
import * as changes from "./acl-changes.ts";
import { ACL_DOCS } from "./docs.ts";

const OPEN = NO_SCRIPT | LOADING | STALE;
const ABOUT_USERS = ADMIN | OPEN;

const TRAITS = { group: "server", categories: [], docs: ACL_DOCS };

// biome-ignore format: a table, one command a line
export const aclFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "ACL", arity: -2, subcommands: [
    { name: "ACL|CAT",     arity: -2, flags: OPEN,                                        run: acl.cat },
    { name: "ACL|DELUSER", arity: -3, flags: ABOUT_USERS | ASKS_THREADS,                  run: changes.deleteUsers },
    { name: "ACL|DRYRUN",  arity: -4, flags: ABOUT_USERS,                                 run: acl.dryRun },
    { name: "ACL|GENPASS", arity: -2, flags: OPEN,                                        run: acl.generatePassword },
    { name: "ACL|GETUSER", arity:  3, flags: ABOUT_USERS,                                 run: acl.getUser },
    { name: "ACL|HELP",    arity:  2, flags: LOADING | STALE,                             run: acl.help },
    { name: "ACL|LIST",    arity:  2, flags: ABOUT_USERS,                                 run: acl.list },
    { name: "ACL|LOAD",    arity:  2, flags: ABOUT_USERS | ASKS_THREADS,                  run: changes.load },
    { name: "ACL|LOG",     arity: -2, flags: ABOUT_USERS | ASKS_THREADS,                  run: changes.log },
    { name: "ACL|SAVE",    arity:  2, flags: ABOUT_USERS,                                 run: changes.save },
    { name: "ACL|SETUSER", arity: -3, flags: ABOUT_USERS | ASKS_THREADS,                  run: changes.setUser },
    { name: "ACL|USERS",   arity:  2, flags: ABOUT_USERS,                                 run: acl.users },
    { name: "ACL|WHOAMI",  arity:  2, flags: OPEN,                                        run: acl.whoAmI },
  ] },
]);
