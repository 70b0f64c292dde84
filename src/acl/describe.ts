/**
 * Users as text: in the words of rules, as ACL LIST, GETUSER, ACL SAVE and CONFIG REWRITE write them. The rules about
 * commands keep their order, as in Redis 7.2; reading them back gives the same user.
 */
import { ALL_PERMISSIONS, type KeyPattern, Permission, type Selector, type User } from "../dispatch/user.ts";

/** The flags of GETUSER, in Redis's order. */
export function userFlags({ isEnabled, needsNoPassword, sanitizesPayload }: User): string[] {
  const flags = [isEnabled ? "on" : "off"];
  if (needsNoPassword) flags.push("nopass");
  if (sanitizesPayload !== null) flags.push(sanitizesPayload ? "sanitize-payload" : "skip-sanitize-payload");
  return flags;
}

/** The rules that make the user, without its name. */
export function userRules(user: User): string {
  const [root, ...others] = user.selectors;
  return [
    ...userFlags(user),
    ...user.passwords.map((hash) => `#${hash}`),
    selectorRules(root!),
    ...others.map((selector) => `(${selectorRules(selector)})`),
  ].join(" ");
}

/** The line of ACL LIST and of an ACL file. */
export function userLine(user: User): string {
  return `user ${user.name} ${userRules(user)}`;
}

function selectorRules(selector: Selector): string {
  const keys = keyRules(selector);
  const channels = selector.allChannels ? "&*" : `resetchannels ${channelRules(selector)}`.trimEnd();
  return [...(keys === "" ? [] : [keys]), channels, commandRules(selector)].join(" ");
}

/** "-@all +@read -get" */
export function commandRules({ futureCommands, rules }: Selector): string {
  return [futureCommands ? "+@all" : "-@all", ...rules].join(" ");
}

/** "~a %R~b", "" = no keys. */
export function keyRules({ allKeys, keys }: Selector): string {
  return allKeys ? "~*" : keys.map(keyRule).join(" ");
}

function keyRule({ pattern, permission }: KeyPattern): string {
  const text = pattern.toString("latin1");
  // "~*" would be allkeys, which allows no pattern behind it: the line could not be read back.
  if (permission === ALL_PERMISSIONS) return text === "*" ? "%RW~*" : `~${text}`;
  return `%${permission === Permission.Read ? "R" : "W"}~${text}`;
}

/** "&a &b", "" = no channels. */
export function channelRules({ allChannels, channels }: Selector): string {
  return allChannels ? "&*" : channels.map((pattern) => `&${pattern.toString("latin1")}`).join(" ");
}
