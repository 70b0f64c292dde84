/** Addresses of servers: HOST:PORT, redis:// and rediss:// URLs. */
import { UsageError } from "../arguments.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
  /** "default" when none was given. */
  readonly user: string;
  /** "" = none. */
  readonly password: string;
  readonly isTls: boolean;
}

const PORT_DEFAULT = 6379;

/** Parses an address. `name` is what it is called in errors, which never have the address: it may have a password. */
export function parseAddress(text: string, name: string): Address {
  const isUrl = text.includes("://");
  const rest = isUrl ? text.slice(text.indexOf("://") + 3) : text;
  const scheme = isUrl ? text.slice(0, text.indexOf("://")) : "redis";
  if (scheme !== "redis" && scheme !== "rediss") throw new UsageError(`${name}: the scheme is redis:// or rediss://`);
  const at = rest.lastIndexOf("@");
  const [login, place] = at < 0 ? ["", rest] : [rest.slice(0, at), rest.slice(at + 1)];
  const [server = "", database = ""] = place.replace(/\?.*$/, "").split("/");
  if (database !== "" && database !== "0")
    throw new UsageError(`${name}: all databases are moved; leave the number out`);
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+))(?::(\d+))?$/.exec(server);
  const port = Number(match?.[3] ?? PORT_DEFAULT);
  if (match === null || !(port >= 1 && port <= 65_535))
    throw new UsageError(`${name}: expected HOST:PORT or redis://USER:PASSWORD@HOST:PORT`);
  const colon = login.indexOf(":");
  const user = colon < 0 ? login : login.slice(0, colon);
  return {
    host: match[1] ?? match[2]!,
    port,
    user: user === "" ? "default" : decoded(user, name),
    password: colon < 0 ? "" : decoded(login.slice(colon + 1), name),
    isTls: scheme === "rediss",
  };
}

function decoded(text: string, name: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UsageError(`${name}: a % in the user or password of a URL is written as %25`);
  }
}

/** "127.0.0.1:6379", for messages and commands: without user and password. */
export function addressText({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** What a shell is given to reach the server again: the address, with scheme and user where they are needed. */
export function addressWord(address: Address): string {
  const { user, isTls } = address;
  const login = user === "default" ? "" : `${encodeURIComponent(user)}@`;
  if (login === "" && !isTls) return addressText(address);
  return `${isTls ? "rediss" : "redis"}://${login}${addressText(address)}`;
}

/** True for an address that means another server on another machine. */
export function isLoopback({ host }: Address): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
