/**
 * The text of an ACL file: a line for each user, "user <name> <rules>". Blank lines are allowed, comments are not, because
 * ACL SAVE would lose them. One bad line refuses the whole file; all errors are reported, in Redis's words.
 */
import type { CommandTable } from "../dispatch/command-table.ts";
import type { User } from "../dispatch/user.ts";
import { hasSpaces, joinSelectors, RuleError, type RuleDefaults, UserDraft } from "./rules.ts";

/** The users of a file by name, or what is wrong with it in one line. */
export type ReadUsers = ReadonlyMap<string, User> | string;

/** Reads the text of the file at `path`, a byte a character. */
export function readAclFile(text: string, path: string, table: CommandTable, defaults: RuleDefaults): ReadUsers {
  const users = new Map<string, User>();
  const errors: string[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    const words = trimmed(line).split(" ");
    if (words[0] === "" && words.length === 1) continue;
    const place = `${path}:${i + 1}`;
    const [keyword, name, ...rules] = words;
    if (keyword !== "user" || name === undefined) {
      errors.push(`${place} should start with user keyword followed by the username. `);
    } else if (hasSpaces(name)) {
      errors.push(`'${place}: username '${name}' contains invalid characters. `);
    } else if (users.has(name)) {
      errors.push(`WARNING: Duplicate user '${name}' found on line ${i + 1}. `);
    } else {
      users.set(name, readUser(name, rules, place, table, defaults, errors));
    }
  }
  if (errors.length === 0) return users;
  return `${errors.join("")}WARNING: ACL errors detected, no change to the previously active ACL rules was performed`;
}

function readUser(
  name: string,
  rules: readonly string[],
  place: string,
  table: CommandTable,
  defaults: RuleDefaults,
  errors: string[],
): User {
  const draft = new UserDraft(name, table, defaults);
  const joined = joinSelectors(rules);
  if (typeof joined === "string") {
    errors.push(`${place}: Unmatched parenthesis in selector definition.`);
    return draft.finish();
  }
  let hasFailed = false;
  for (const rule of joined.map(trimmed)) {
    const refused = draft.apply(rule);
    if (refused === null) continue;
    if (refused === RuleError.unknownCommand) {
      errors.push(`${place}: Error in applying operation '${rule}': ${refused}. `);
    } else if (!hasFailed) {
      // A rule may be a password, so it is not shown. Further errors may follow from the first.
      errors.push(`${place}: ${refused}. `);
      hasFailed = true;
    }
  }
  return draft.finish();
}

function trimmed(text: string): string {
  return text.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "");
}
