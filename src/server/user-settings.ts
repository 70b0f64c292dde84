/** What the configuration says about users, in the form of acl/users.ts. */
import type { UserSettings } from "../acl/users.ts";
import type { Config } from "../base/config/config.ts";

export function userSettings(config: Config): UserSettings {
  const users = config.get("server.users") as Readonly<Record<string, string>>;
  return {
    password: config.requiredPassword,
    users: Object.fromEntries(Object.entries(users).map(([name, rules]) => [asBytes(name), asBytes(rules)])),
    defaults: { allChannels: config.text("server.acl_pubsub_default") === "allchannels" },
  };
}

/** UTF-8 as a text of a byte a character. */
function asBytes(text: string): string {
  return Buffer.from(text).toString("latin1");
}
