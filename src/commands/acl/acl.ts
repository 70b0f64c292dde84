/** ACL: who the users are, and what they may do. The commands that change users are in acl-changes.ts. */
import { Denied } from "../../dispatch/access.ts";
import type { Call } from "../../dispatch/call.ts";
import { CATEGORIES, categoriesOf } from "../../dispatch/categories.ts";
import { replyHelp } from "../../dispatch/help-reply.ts";
import type { Selector } from "../../dispatch/user.ts";
import { channelRules, commandRules, keyRules, userFlags, userLine } from "../../acl/describe.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";

export function whoAmI(call: Call, reply: Reply): void {
  latin1(reply, call.session.user.name);
}

export function users(call: Call, reply: Reply): void {
  const { all } = call.users;
  reply.array(all.length);
  for (const { name } of all) latin1(reply, name);
}

export function list(call: Call, reply: Reply): void {
  const { all } = call.users;
  reply.array(all.length);
  for (const user of all) latin1(reply, userLine(user));
}

/** ACL GETUSER username. Replies: a map; null for a user that does not exist. */
export function getUser(call: Call, reply: Reply): void {
  const user = call.users.find(call.argText(2));
  if (user === null) return reply.nullBulk();
  reply.map(6);
  reply.text("flags");
  const flags = userFlags(user);
  reply.set(flags.length);
  for (const flag of flags) reply.text(flag);
  reply.text("passwords");
  reply.array(user.passwords.length);
  for (const hash of user.passwords) reply.text(hash);
  const [root, ...others] = user.selectors;
  writeSelector(reply, root!);
  reply.text("selectors");
  reply.array(others.length);
  for (const selector of others) {
    reply.map(3);
    writeSelector(reply, selector);
  }
}

function writeSelector(reply: Reply, selector: Selector): void {
  reply.text("commands");
  latin1(reply, commandRules(selector));
  reply.text("keys");
  latin1(reply, keyRules(selector));
  reply.text("channels");
  latin1(reply, channelRules(selector));
}

/** ACL CAT [category]. Replies: the categories, or the commands of one. */
export function cat(call: Call, reply: Reply): void {
  if (call.argCount > 3) return reply.error(wrongUse(call));
  if (call.argCount === 2) {
    reply.array(CATEGORIES.length);
    for (const name of CATEGORIES) reply.text(name);
    return;
  }
  const category = call.argText(2);
  const lower = category.toLowerCase();
  if (!(CATEGORIES as readonly string[]).includes(lower))
    return reply.error(`ERR Unknown category '${category.slice(0, 128)}'`);
  const names = call.server.table.rows.filter((spec) => categoriesOf(spec).includes(lower));
  reply.array(names.length);
  for (const { name } of names) reply.text(name.toLowerCase());
}

/** ACL DRYRUN username command [arg ...]. Replies OK, or a text that says what the user lacks. */
export function dryRun(call: Call, reply: Reply): void {
  const FROM = 3;
  const user = call.users.find(call.argText(2));
  if (user === null) return reply.error(`ERR User '${call.argText(2)}' not found`);
  const { table } = call.server;
  let spec = table.byName(call.argText(FROM));
  if (spec?.subcommands !== undefined && call.argCount > FROM + 1) {
    spec = table.findSubcommand(spec, call.argText(FROM + 1));
  }
  if (spec === null) return reply.error(`ERR Command '${call.argText(FROM)}' not found`);
  const given = call.argCount - FROM;
  const name = spec.name.toLowerCase();
  if (spec.arity > 0 ? given !== spec.arity : given < -spec.arity)
    return reply.error(`ERR wrong number of arguments for '${name}' command`);
  const { access } = call;
  const denied = user.isUnrestricted ? Denied.None : access.check(user, spec, FROM, given);
  if (denied === Denied.None) return reply.ok();
  if (denied === Denied.Command) return latin1(reply, `This user has no permissions to run the '${name}' command`);
  const what = denied === Denied.Key ? "key" : "channel";
  latin1(reply, `This user has no permissions to access the '${call.argText(FROM + access.deniedAt)}' ${what}`);
}

const BITS = 256;
const BITS_MAX = 4096;

/** ACL GENPASS [bits]. Replies: hexadecimal digits of a new password. */
export function generatePassword(call: Call, reply: Reply): void {
  if (call.argCount > 3) return reply.error(wrongUse(call));
  const bits = call.argCount === 3 ? call.argLong(2) : BITS;
  if (Number.isNaN(bits)) return reply.error(ErrorText.notInteger);
  if (bits <= 0 || bits > BITS_MAX)
    return reply.error(
      `ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to ${BITS_MAX}`,
    );
  const digits = Math.ceil(bits / 4);
  reply.text(
    crypto
      .getRandomValues(new Uint8Array(Math.ceil(digits / 2)))
      .toHex()
      .slice(0, digits),
  );
}

/** The error for a wrong number of arguments of a subcommand with a minimum. */
export function wrongUse(call: Call): string {
  return `ERR unknown subcommand or wrong number of arguments for '${call.argText(1).slice(0, 128)}'. Try ACL HELP.`;
}

/** A bulk string of a text that is a byte a character. */
export function latin1(reply: Reply, text: string): void {
  const bytes = Buffer.from(text, "latin1");
  reply.bulk(bytes, 0, bytes.length);
}

export function help(_call: Call, reply: Reply): void {
  replyHelp(reply, "ACL", [
    [
      "CAT [<category>]",
      "List all commands that belong to <category>, or all command categories",
      "when no category is specified.",
    ],
    ["DELUSER <username> [<username> ...]", "Delete a list of users."],
    [
      "DRYRUN <username> <command> [<arg> ...]",
      "Returns whether the user can execute the given command without executing the command.",
    ],
    ["GETUSER <username>", "Get the user's details."],
    [
      "GENPASS [<bits>]",
      "Generate a secure 256-bit user password. The optional `bits` argument can",
      "be used to specify a different size.",
    ],
    ["LIST", "Show users details in config file format."],
    ["LOAD", "Reload users from the ACL file."],
    ["LOG [<count> | RESET]", "Show the ACL log entries."],
    ["SAVE", "Save the current config to the ACL file."],
    ["SETUSER <username> <attribute> [<attribute> ...]", "Create or modify a user with the specified attributes."],
    ["USERS", "List all the registered usernames."],
    ["WHOAMI", "Return the current connection username."],
  ]);
}
