/**
 * The effective configuration: one value per key, where each came from, and who wants to hear of changes.
 *
 * The main thread loads it (load.ts) and changes it (CONFIG SET, redis.ts). Every other thread gets a snapshot with its
 * start message, and then the changes, which it applies to its own copy:
 *
 *   main     const config = loadConfig(...);  worker.postMessage({ config: config.toSnapshot() })
 *            const result = configSet(config, pairs);  if (result.ok) send result.changes to the workers
 *   worker   const config = Config.fromSnapshot(message.config);   later: config.apply(message.changes)
 *
 * Reading is a Map look-up: fine per command of the control plane, not on the data path. There, copy the value into a
 * field and refresh it in `onChange`.
 */
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

/** Where a value came from. */
export interface Provenance {
  readonly kind: "default" | "file" | "environment" | "flag" | "runtime";
  /** For people: "ferrite.toml:12", "FERRITE_PORT", "--port", "CONFIG SET", "default". */
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

/** A configuration as plain JSON. Keys at their default are left out. */
export interface ConfigSnapshot {
  readonly values: Readonly<Record<string, ConfigValue>>;
  readonly provenance: Readonly<Record<string, Provenance>>;
  readonly source: string;
  readonly machine: Machine;
}

/** Called after all keys of one change have their new value. */
export type ConfigObserver = (change: ConfigChange, config: Config) => void;

/** Looks at a new value before it is set; a text refuses it (CONFIG SET answers with it), null accepts. */
export type ConfigCheck = (value: ConfigValue) => string | null;

/** Least of maxmemory-clients. */
const CLIENT_BYTES_LEAST = 128 * 1024;

export class Config {
  private readonly values = new Map<string, ConfigValue>();
  private readonly origins = new Map<string, Provenance>();
  private readonly observers = new Map<string, ConfigObserver[]>();
  private readonly checks = new Map<string, ConfigCheck[]>();

  /** `source` is the path of the configuration file; "" when built-in defaults were used. */
  constructor(
    readonly source: string,
    readonly machine: Machine,
  ) {
    for (const spec of KEYS) this.values.set(spec.name, spec.default);
  }

  /** Value of any key by its canonical name; throws RangeError for a name that is not in the schema. */
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

  /** A boolean; an automatic one counts as false (see the accessors below). */
  flag(name: FlagKey): boolean {
    return this.get(name) === true;
  }

  /** Where a key's value came from. */
  provenance(name: KeyName | (string & {})): Provenance {
    return this.origins.get(name) ?? FROM_DEFAULT;
  }

  isDefault(name: KeyName | (string & {})): boolean {
    return this.provenance(name).kind === "default";
  }

  /** Sets a value that has been checked, without telling observers: for loading. */
  place(name: string, value: ConfigValue, from: Provenance): void {
    specOf(name);
    this.values.set(name, value);
    this.origins.set(name, from);
  }

  /** Runs `check` on each value CONFIG SET would give the key, on this thread only. */
  addCheck(name: KeyName, check: ConfigCheck): void {
    push(this.checks, name, check);
  }

  /** The first objection of the key's checks; null when there is none. */
  objection(name: string, value: ConfigValue): string | null {
    for (const check of this.checks.get(name) ?? []) {
      const text = check(value);
      if (text !== null) return text;
    }
    return null;
  }

  /** Calls `observer` after each change of the key at run time ("*": of any key). */
  onChange(name: KeyName | "*", observer: ConfigObserver): void {
    push(this.observers, name, observer);
  }

  /** Sets all values, then tells the observers. Values must have been checked (by `configSet`, here or on another thread). */
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

  // Values that follow from more than one key, or from the machine.

  /** Limit of memory for data in bytes, never 0: storage.max_memory, or 75 % of what the machine or cgroup has. */
  get maxMemoryBytes(): number {
    const bytes = this.number("storage.max_memory");
    return bytes > 0 ? bytes : automaticMaxMemory(this.machine);
  }

  /** Data workers: the larger of worker_threads and io_threads; by itself one per CPU, at least 2. */
  get workerThreads(): number {
    const chosen = Math.max(this.number("server.worker_threads"), this.number("server.io_threads"));
    return chosen > 0 ? chosen : Math.max(2, this.machine.cpus);
  }

  get bindHosts(): BindHost[] {
    return bindHosts(this.text("server.bind"));
  }

  /** The password clients must give; "" when none is asked for. */
  get requiredPassword(): string {
    return this.get("server.require_auth") === false ? "" : this.text("server.password");
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

  /** Most memory of all clients together, bytes; 0: no limit. A limit too small to talk at all is raised, as Redis does. */
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

  /** Length of the background cycle per second, as Redis's hz. */
  get hz(): number {
    return Math.max(1, Math.round(1000 / this.number("storage.expire_check_interval")));
  }
}

function push<T>(lists: Map<string, T[]>, name: string, item: T): void {
  const list = lists.get(name);
  if (list === undefined) lists.set(name, [item]);
  else list.push(item);
}
