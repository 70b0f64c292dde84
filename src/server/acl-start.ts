/** Users at the start: those of the configuration are checked, and the ACL file is read, before anything else is begun. */
import { readAclFile } from "../acl/acl-file.ts";
import { usersOf } from "../acl/users.ts";
import type { Config } from "../base/config/config.ts";
import { ConfigError, StartupError } from "../base/errors.ts";
import type { Files } from "../base/files.ts";
import { commandTable } from "../commands/families.ts";
import { aclPath, readAclText } from "./user-changes.ts";
import { userSettings } from "./user-settings.ts";

/** Throws ConfigError when the users of the configuration cannot be made. */
export function checkUsers(config: Config): void {
  const settings = userSettings(config);
  if (Object.keys(settings.users).length > 0 && config.text("server.acl_file") !== "")
    throw new ConfigError("Failed to parse config: there are users in the configuration and an ACL file", [
      `server.users (${config.provenance("server.users").text}) and server.acl_file (${config.provenance("server.acl_file").text}): keep all users in one of them`,
    ]);
  const users = usersOf(commandTable(), settings);
  if (typeof users === "string")
    throw new ConfigError(
      `Failed to parse config: server.users (${config.provenance("server.users").text}): ${users}`,
      [],
    );
}

/** The text of the ACL file, a byte a character; null = there is none. Throws StartupError when it has errors. */
export function startingUsers(config: Config, files: Files): string | null {
  const path = config.text("server.acl_file");
  if (path === "") return null;
  const { text, error } = readAclText(files, aclPath(config, path));
  const failure =
    error !== ""
      ? `Error loading ACLs, opening file '${path}': ${error}`
      : readAclFile(text, path, commandTable(), userSettings(config).defaults);
  if (typeof failure !== "string") return text;
  throw new StartupError(`Aborting startup because of ACL errors: ${failure}`, [], 1);
}
