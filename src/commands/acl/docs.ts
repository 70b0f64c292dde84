/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { flag, integer, many, oneOf, optional, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDoc, FamilyDocs } from "../../dispatch/family.ts";
import type { ArgumentDoc } from "../../dispatch/spec.ts";

const PER_USER = "O(N) for N users";
const NAME = [string("username")];

function doc(summary: string, complexity: string, args?: readonly ArgumentDoc[]): FamilyDoc {
  const texts: FamilyDoc = { summary, since: "6.0.0", complexity };
  if (args !== undefined) texts.arguments = args;
  return texts;
}

export const ACL_DOCS: FamilyDocs = {
  ACL: doc("A container for commands about users and their rights.", "Depends on subcommand."),
  "ACL|CAT": doc("Lists the categories of commands, or the commands of one.", "O(N) for N commands", [
    optional(string("categoryname")),
  ]),
  "ACL|DELUSER": doc("Deletes users and closes their connections.", "O(N) for N clients", [many(string("username"))]),
  "ACL|DRYRUN": {
    ...doc("Tells whether a user may run a command, without running it.", "O(N) for N patterns", [
      string("username"),
      string("command"),
      optional(many(string("arg"))),
    ]),
    since: "7.0.0",
  },
  "ACL|GENPASS": doc("Generates a random password.", "O(1)", [optional(integer("bits"))]),
  "ACL|GETUSER": {
    ...doc("Describes a user.", "O(N) for N rules of the user", NAME),
    history: [
      ["6.2.0", "Patterns of channels."],
      ["7.0.0", "Selectors; patterns of keys and channels are texts of rules."],
    ],
  },
  "ACL|HELP": doc("Shows a text about the subcommands.", "O(1)"),
  "ACL|LIST": doc("Lists all users as lines of an ACL file.", PER_USER),
  "ACL|LOAD": doc("Reads the users from the ACL file.", PER_USER),
  "ACL|LOG": {
    ...doc("Lists what was denied lately.", "O(N) for N entries", [
      optional(oneOf("operation", integer("count"), flag("reset", "RESET"))),
    ]),
    history: [["7.2.0", "Added `entry-id`, `timestamp-created` and `timestamp-last-updated`."]],
  },
  "ACL|SAVE": doc("Writes the users to the ACL file.", PER_USER),
  "ACL|SETUSER": {
    ...doc("Creates a user or changes its rights.", "O(N) for N rules", [
      string("username"),
      optional(many(string("rule"))),
    ]),
    history: [
      ["6.2.0", "Patterns of channels."],
      ["7.0.0", "Selectors, and rights to read or write keys."],
    ],
  },
  "ACL|USERS": doc("Lists the names of all users.", PER_USER),
  "ACL|WHOAMI": doc("Returns the user of the connection.", "O(1)"),
};
