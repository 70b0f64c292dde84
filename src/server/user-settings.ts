/** What the configuration says about users, in the form of acl/users.ts. */
import { userRules } from "../acl/describe.ts";
import type { Users, UserSettings } from "../acl/users.ts";
import type { Config } from "../base/config/config.ts";

export function userSettings(config: Config): UserSettings {
  const users = config.get("server.users") as Readonly<Record<string, string>>;
  return {
    password: config.requiredPassword,
    users: Object.fromEntries(Object.entries(users).map(([name, rules]) => [asBytes(name), asBytes(rules)])),
    defaults: { allChannels: config.text("server.acl_pubsub_default") === "allchannels" },
  };
}

/**
 * The users as CONFIG REWRITE writes them; null = the configuration makes them already, or an ACL file has them. A text says
 * why they cannot be written.
 */
export function configuredUsers(users: Users, config: Config): Readonly<Record<string, string>> | null | string {
  if (users.isAsConfigured || config.text("server.acl_file") !== "") return null;
  const table: Record<string, string> = {};
  for (const user of users.all) {
    const [name, rules] = [user.name, userRules(user)].map((text) => Buffer.from(text, "latin1").toString());
    if (asBytes(name!) !== user.name || asBytes(rules!) !== userRules(user)) return "a user is not UTF-8";
    table[name!] = rules!;
  }
  return table;
}

/** UTF-8 as a text of a byte a character. */
function asBytes(text: string): string {
  return Buffer.from(text).toString("latin1");
}
