/**
 * Syntax of the keys whose strings are structured: addresses, save points, output buffer limits, event classes,
 * percentiles. Each function checks a text and returns its canonical form, or a Refusal in Redis 7's words.
 */
import { Refusal, integerText, parseBytes, parseInteger } from "./values.ts";

/** A listening address. `optional`, written "-host": a failure to bind it is not an error. */
export interface BindHost {
  readonly host: string;
  readonly optional: boolean;
}

/** Splits a list of "host", "host:port" and "[v6]:port". `port` is -1 when there is none, -2 when two differ. */
export function splitBind(text: string): { hosts: string; port: number } {
  const hosts: string[] = [];
  let port = -1;
  for (const word of text.split(/[\s,]+/)) {
    if (word === "") continue;
    const match = /^(-?)\[([^\]]*)\](?::(\d{1,5}))?$/.exec(word) ?? /^(-?)([^:]*)(?::(\d{1,5}))?$/.exec(word);
    if (match === null) {
      hosts.push(word);
      continue;
    }
    hosts.push(match[1]! + match[2]!);
    if (match[3] === undefined) continue;
    const named = Number(match[3]);
    if (port >= 0 && named !== port) return { hosts: hosts.join(" "), port: -2 };
    port = named;
  }
  return { hosts: hosts.join(" "), port };
}

/** The addresses of a canonical bind text; "*" becomes 0.0.0.0 and "::*" becomes ::. */
export function bindHosts(text: string): BindHost[] {
  return text.split(" ").map((word) => {
    const optional = word.startsWith("-");
    const host = optional ? word.slice(1) : word;
    return { host: host === "*" ? "0.0.0.0" : host === "::*" ? "::" : host, optional };
  });
}

export function bindSyntax(text: string): string | Refusal {
  const { hosts, port } = splitBind(text);
  if (hosts === "") return new Refusal("expected at least one address");
  if (port === -2) return new Refusal("all addresses must name the same port");
  return hosts;
}

/** Save points "seconds changes ...". */
export function saveSyntax(text: string): string | Refusal {
  const words = text === "" ? [] : text.split(" ");
  if (words.length % 2 !== 0) return new Refusal("Invalid save parameters");
  for (let i = 0; i < words.length; i += 2) {
    if (!(parseInteger(words[i]!) >= 1) || !(parseInteger(words[i + 1]!) >= 0))
      return new Refusal("Invalid save parameters");
  }
  return words.join(" ");
}

/** Limits of one class of clients; 0 = no limit. A client is closed after `softSeconds` above the soft limit. */
export interface OutputBufferLimit {
  readonly hardBytes: number;
  readonly softBytes: number;
  readonly softSeconds: number;
}

export interface OutputBufferLimits {
  readonly normal: OutputBufferLimit;
  readonly replica: OutputBufferLimit;
  readonly pubsub: OutputBufferLimit;
}

const DEFAULT_LIMITS: OutputBufferLimits = {
  normal: { hardBytes: 0, softBytes: 0, softSeconds: 0 },
  replica: { hardBytes: 256 * 1024 ** 2, softBytes: 64 * 1024 ** 2, softSeconds: 60 },
  pubsub: { hardBytes: 32 * 1024 ** 2, softBytes: 8 * 1024 ** 2, softSeconds: 60 },
};

/** Parses "class hard soft seconds ...". Classes that are not named have the limits of `base`. */
export function parseOutputLimits(text: string, base: OutputBufferLimits): OutputBufferLimits | Refusal {
  const words = splitWords(text);
  if (words.length === 0 || words.length % 4 !== 0)
    return new Refusal("Wrong number of arguments in buffer limit configuration.");
  const limits: { -readonly [name in keyof OutputBufferLimits]: OutputBufferLimit } = { ...base };
  for (let i = 0; i < words.length; i += 4) {
    const word = words[i]!.toLowerCase();
    const name = word === "slave" ? "replica" : word;
    if (name !== "normal" && name !== "replica" && name !== "pubsub") {
      return new Refusal("Invalid client class specified in buffer limit configuration.");
    }
    const hardBytes = parseBytes(words[i + 1]!);
    const softBytes = parseBytes(words[i + 2]!);
    const softSeconds = parseInteger(words[i + 3]!);
    if (hardBytes < 0 || softBytes < 0 || !(softSeconds >= 0)) {
      return new Refusal("Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    }
    limits[name] = { hardBytes, softBytes, softSeconds };
  }
  return limits;
}

/** The limits in Redis's form: the classes in order, sizes in bytes, replicas under their old name. */
export function outputLimitsText(limits: OutputBufferLimits): string {
  const one = (name: string, limit: OutputBufferLimit): string =>
    `${name} ${integerText(limit.hardBytes)} ${integerText(limit.softBytes)} ${limit.softSeconds}`;
  return [one("normal", limits.normal), one("slave", limits.replica), one("pubsub", limits.pubsub)].join(" ");
}

export const DEFAULT_OUTPUT_LIMITS = outputLimitsText(DEFAULT_LIMITS);

/** Classes that are not named have their default. */
export function outputLimitsSyntax(text: string): string | Refusal {
  const limits = parseOutputLimits(text, DEFAULT_LIMITS);
  return limits instanceof Refusal ? limits : outputLimitsText(limits);
}

const EVENT_CLASSES = "g$lshzxetd";
/** Classes that are not part of A. */
const FURTHER_CLASSES = "noc";
const EVENT_CHARACTERS = "Ag$lshzxeKEtmdnoc";

/**
 * Event classes. The canonical form is in Redis's order: A or the classes, then n, o, c, then K, E, m. Redis does not show n, o
 * and c behind A, although they count; here they are shown.
 */
export function notifySyntax(text: string): string | Refusal {
  for (const letter of text) {
    if (!EVENT_CHARACTERS.includes(letter)) {
      return new Refusal(`Invalid event class character. Use '${EVENT_CHARACTERS}'.`);
    }
  }
  const has = (letter: string): boolean => text.includes(letter);
  const all = has("A") || [...EVENT_CLASSES].every(has);
  const classes = all ? "A" : [...EVENT_CLASSES].filter(has).join("");
  return classes + [...`${FURTHER_CLASSES}KEm`].filter(has).join("");
}

/** True when the class `letter` is in the canonical form `text`. */
export function hasEventClass(text: string, letter: string): boolean {
  return text.includes(letter) || (text.includes("A") && EVENT_CLASSES.includes(letter));
}

export function percentilesSyntax(text: string): string | Refusal {
  const words = text === "" ? [] : text.split(" ");
  for (const word of words) {
    if (!/^([+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|0x[0-9a-f]+|[+-]?inf)$/i.test(word))
      return new Refusal("Invalid latency-tracking-info-percentiles parameters");
    const value = /inf$/i.test(word) ? Infinity : Number(word);
    if (!(value >= 0 && value <= 100)) {
      return new Refusal("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
    }
  }
  return words.map((word) => String(Number(word))).join(" ");
}

/** Three adjustments of the OOM score, one for each kind of process, such as "0 200 800". */
export function oomScoresSyntax(text: string): string | Refusal {
  const scores = text.split(" ").map((word) => (word === "" ? 0 : parseInteger(word)));
  if (scores.length !== 3) return new Refusal("wrong number of arguments");
  const good = scores.every((score) => Math.abs(score) <= 2000);
  return good
    ? scores.join(" ")
    : new Refusal("Invalid oom-score-adj-values, elements must be between -2000 and 2000.");
}

const TITLE_VARIABLES = ["title", "listen-addr", "server-mode", "port", "tls-port", "config-file", "unixsocket"];

/** A text with {variables}, which must not be empty without {title}. */
export function processTitleSyntax(text: string): string | Refusal {
  const left = text.replace(/\{([^{}]*)\}/g, (all, name) =>
    TITLE_VARIABLES.includes(name) ? (name === "title" ? "" : name) : all,
  );
  return left.trim() !== "" && !left.includes("{")
    ? text
    : new Refusal("template format is invalid or contains unknown variables");
}

export function hostnameSyntax(text: string): string | Refusal {
  if (text.length >= 256) return new Refusal("Hostnames must be less than 256 characters");
  return /^[A-Za-z0-9.-]*$/.test(text)
    ? text
    : new Refusal("Hostnames may only contain alphanumeric characters, hyphens or dots");
}

const SHUTDOWN_WAYS = ["default", "save", "nosave", "now", "force"];

/** Shutdown options, separated by blanks. */
export function shutdownSyntax(text: string): string | Refusal {
  const words = splitWords(text.toLowerCase());
  if (words.length === 0 || !words.every((word) => SHUTDOWN_WAYS.includes(word)))
    return new Refusal(`argument(s) must be one of the following: ${SHUTDOWN_WAYS.join(", ")}`);
  if (words.includes("save") && words.includes("nosave"))
    return new Refusal("shutdown options SAVE and NOSAVE can't be used simultaneously");
  const chosen = SHUTDOWN_WAYS.filter((way) => way !== "default" && words.includes(way));
  return chosen.join(" ") || "default";
}

/** A size or a share of maxmemory: "64mb", "5%". */
export function clientsMemorySyntax(text: string): string | Refusal {
  const percent = /^(\d{1,6})%$/.exec(text);
  if (percent !== null) {
    return Number(percent[1]) <= 100 ? text : new Refusal("percentage argument must be less or equal to 100");
  }
  const bytes = text === "" ? 0 : parseBytes(text);
  return bytes < 0 ? new Refusal("argument must be a memory or percent value") : integerText(bytes);
}

/** Parses "host:port" or Redis's "host port"; "" and "no one" mean none. Returns null for any other form. */
export function splitPrimary(text: string): { host: string; port: number } | null {
  if (text === "" || /^no\s+one$/i.test(text)) return { host: "", port: -1 };
  const match = /^\[?([^\s\]]+?)\]?[:\s]\s*(\d{1,5})$/.exec(text.trim());
  return match === null ? null : { host: match[1]!, port: Number(match[2]) };
}

function splitWords(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}
