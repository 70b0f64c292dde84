/**
 * The effective configuration: the value of each key, its provenance, and the observers of changes.
 *
 * The main thread loads it (load.ts) and changes it (CONFIG SET, redis.ts). Every other thread receives a snapshot with its
 * start message and then each change, and applies the changes to its copy:
 *
 *   main     const config = loadConfig(...);  worker.postMessage({ config: config.toSnapshot() })
 *            const result = configSet(config, pairs);  if (result.ok) send result.changes to the workers
 *   worker   const config = Config.fromSnapshot(message.config);   later: config.apply(message.changes)
 *
 * Reading is a Map look-up, which is too slow for the data path. Code there copies the value into a field and refreshes it
 * in `onChange`.
 */
import { isRedisConf } from "./redis-conf.ts";
import { automaticMaxMemory, type Machine } from "./machine.ts";
import { KEYS, specOf, type FlagKey, type KeyName, type NumberKey, type TextKey } from "./schema.ts";
import {
  bindHosts,
  DEFAULT_OUTPUT_LIMITS,
  parseOutputLimits,
  type BindHost,
  type OutputBufferLimits,
} from "./syntax.ts";
import { Refusal, sameValue, type ConfigValue } from "./values.ts";

/** The source of a value. */
export interface Provenance {
  readonly kind: "default" | "file" | "environment" | "flag" | "runtime";
  /** Text for people: "ferrite.toml:12", "FERRITE_PORT", "--port", "CONFIG SET", "default". */
  readonly text: string;
}

export const FROM_DEFAULT: Provenance = { kind: "default", text: "default" };
export const FROM_RUNTIME: Provenance = { kind: "runtime", text: "CONFIG SET" };

/** One changed key. Plain JSON. */
export interface ConfigChange {
  readonly name: string;
  readonly value: ConfigValue;
  readonly previous: ConfigValue;
}

/** A configuration as plain JSON, without keys at their default. */
export interface ConfigSnapshot {
  readonly values: Readonly<Record<string, ConfigValue>>;
  readonly provenance: Readonly<Record<string, Provenance>>;
  readonly source: string;
  readonly machine: Machine;
}

/** Called after all keys of one change have their new values. */
export type ConfigObserver = (change: ConfigChange, config: Config) => void;

/** Checks a new value before it is set. Returns null to accept it, or the reason to refuse it, which CONFIG SET replies. */
export type ConfigCheck = (value: ConfigValue) => string | null;

/**
 * Checks the values that several keys have together. `valueOf` returns a key's new value, or the one that it keeps. Returns
 * null, or the reason to refuse all values, which CONFIG SET replies for the first key in `names` that it sets.
 */
export interface JointCheck {
  readonly names: readonly string[];
  check(valueOf: (name: string) => ConfigValue): string | null;
}

/** Lowest effective limit of maxmemory-clients, bytes. */
const CLIENT_BYTES_LEAST = 128 * 1024;

export class Config {
  private readonly values = new Map<string, ConfigValue>();
  private readonly origins = new Map<string, Provenance>();
  private readonly observers = new Map<string, ConfigObserver[]>();
  private readonly checks = new Map<string, ConfigCheck[]>();
  private readonly jointChecks: JointCheck[] = [];

  /** `source` is the path of the configuration file; "" = built-in defaults. */
  constructor(
    readonly source: string,
    readonly machine: Machine,
  ) {
    for (const spec of KEYS) this.values.set(spec.name, spec.default);
  }

  /** Value of a key by its canonical name. Throws RangeError for a name that is not in the schema. */
  get(name: string): ConfigValue {
    const value = this.values.get(name);
    if (value === undefined) throw new RangeError(`no configuration key is called ${name}`);
    return value;
  }

  /** A number in the key's unit (bytes, seconds, milliseconds ...). */
  number(name: NumberKey): number {
    return Number(this.get(name));
  }

  text(name: TextKey): string {
    return String(this.get(name));
  }

  /** Value of a boolean; false when it is automatic (see the accessors below). */
  flag(name: FlagKey): boolean {
    return this.get(name) === true;
  }

  /** The source of a key's value. */
  provenance(name: KeyName | (string & {})): Provenance {
    return this.origins.get(name) ?? FROM_DEFAULT;
  }

  isDefault(name: KeyName | (string & {})): boolean {
    return this.provenance(name).kind === "default";
  }

  /** Sets a checked value without notifying observers, for loading. */
  place(name: string, value: ConfigValue, from: Provenance): void {
    specOf(name);
    this.values.set(name, value);
    this.origins.set(name, from);
  }

  /** Registers `check` for every value that CONFIG SET on this thread would give the key. */
  addCheck(name: KeyName, check: ConfigCheck): void {
    push(this.checks, name, check);
  }

  /** The first objection of the key's checks; null = none. */
  objection(name: string, value: ConfigValue): string | null {
    for (const check of this.checks.get(name) ?? []) {
      const text = check(value);
      if (text !== null) return text;
    }
    return null;
  }

  addJointCheck(check: JointCheck): void {
    this.jointChecks.push(check);
  }

  /** The first objection of a joint check to the values `wanted`, with the key it is about; null = none. */
  jointObjection(wanted: ReadonlyMap<string, ConfigValue>): { name: string; reason: string } | null {
    for (const { names, check } of this.jointChecks) {
      const name = [...wanted.keys()].find((key) => names.includes(key));
      if (name === undefined) continue;
      const reason = check((key) => (wanted.has(key) ? wanted.get(key)! : this.get(key)));
      if (reason !== null) return { name, reason };
    }
    return null;
  }

  /** Calls `observer` after each change of the key at run time ("*" = any key). */
  onChange(name: KeyName | "*", observer: ConfigObserver): void {
    push(this.observers, name, observer);
  }

  /** Sets all values, then notifies the observers. `configSet` has checked them, on this thread or another. */
  apply(changes: readonly ConfigChange[]): void {
    for (const change of changes) this.place(change.name, change.value, FROM_RUNTIME);
    for (const change of changes) {
      for (const observer of this.observers.get(change.name) ?? []) observer(change, this);
      for (const observer of this.observers.get("*") ?? []) observer(change, this);
    }
  }

  toSnapshot(): ConfigSnapshot {
    const values: Record<string, ConfigValue> = {};
    const provenance: Record<string, Provenance> = {};
    for (const spec of KEYS) {
      const value = this.get(spec.name);
      if (!sameValue(value, spec.default)) values[spec.name] = value;
      const origin = this.origins.get(spec.name);
      if (origin !== undefined) provenance[spec.name] = origin;
    }
    return { values, provenance, source: this.source, machine: this.machine };
  }

  static fromSnapshot(snapshot: ConfigSnapshot): Config {
    const config = new Config(snapshot.source, snapshot.machine);
    for (const [name, origin] of Object.entries(snapshot.provenance)) {
      config.place(name, snapshot.values[name] ?? specOf(name).default, origin);
    }
    return config;
  }

  // Values that depend on several keys or on the machine.

  /** Memory limit for data, bytes, never 0: storage.max_memory, or 75 % of the memory of the machine or cgroup. */
  get maxMemoryBytes(): number {
    const bytes = this.number("storage.max_memory");
    return bytes > 0 ? bytes : automaticMaxMemory(this.machine);
  }

  /** Number of workers: the larger of worker_threads and io_threads. By default one per CPU, at least 2. */
  get workerThreads(): number {
    const chosen = Math.max(this.number("server.worker_threads"), this.number("server.io_threads"));
    return chosen > 0 ? chosen : Math.max(2, this.machine.cpus);
  }

  get bindHosts(): BindHost[] {
    return bindHosts(this.text("server.bind"));
  }

  /** The password that clients must send; "" = none needed. */
  get requiredPassword(): string {
    return this.get("server.require_auth") === false ? "" : this.text("server.password");
  }

  /** Port for TLS; 0 = TLS is off. */
  get tlsPort(): number {
    return this.flag("server.tls_enabled") ? this.number("server.tls_port") : 0;
  }

  /** Whether clients must show a certificate. */
  get tlsVerifyClient(): "false" | "true" | "optional" {
    return this.verifyClientOf(this.get("server.tls_verify_client"));
  }

  /** The meaning of a value of tls_verify_client: Redis asks for certificates by default, and so does a redis.conf. */
  verifyClientOf(value: ConfigValue): "false" | "true" | "optional" {
    if (value === "true" || value === "optional") return value;
    return value === null && isRedisConf(this.source) ? "true" : "false";
  }

  get outputBufferLimits(): OutputBufferLimits {
    const zero = { hardBytes: 0, softBytes: 0, softSeconds: 0 };
    const limits = parseOutputLimits(this.text("server.client_output_buffer_limit"), {
      normal: zero,
      replica: zero,
      pubsub: zero,
    });
    if (limits instanceof Refusal) throw new RangeError(`${limits.reason} The default is ${DEFAULT_OUTPUT_LIMITS}`);
    return limits;
  }

  /** Most memory of all clients together, bytes; 0 = no limit. As in Redis, a limit that is too small to work is raised. */
  get clientBytesMax(): number {
    const text = this.text("server.maxmemory_clients");
    const share = text.endsWith("%") ? Number.parseInt(text, 10) / 100 : 0;
    const bytes = share > 0 ? this.maxMemoryBytes * share : Number(text);
    return bytes > 0 ? Math.max(bytes, CLIENT_BYTES_LEAST) : 0;
  }

  /** Percentiles of INFO latencystats, 0 to 100. */
  get latencyPercentiles(): number[] {
    return this.text("server.latency_tracking_info_percentiles")
      .split(" ")
      .filter((word) => word !== "")
      .map(Number);
  }

  /** Background cycles per second, as Redis's hz. */
  get hz(): number {
    return Math.max(1, Math.round(1000 / this.number("storage.expire_check_interval")));
  }
}

function push<T>(lists: Map<string, T[]>, name: string, item: T): void {
  const list = lists.get(name);
  if (list === undefined) lists.set(name, [item]);
  else list.push(item);
}
