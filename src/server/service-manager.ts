/**
 * What the server tells the service manager that started it, by systemd's notification protocol (sd_notify): datagrams of
 * lines to the socket that NOTIFY_SOCKET names.
 *
 *   READY=1                          it serves clients, or has read its certificates again
 *   RELOADING=1, MONOTONIC_USEC=...  it reads them
 *   STOPPING=1                       it ends
 *   STATUS=text                      what `systemctl status` shows
 *   EXTEND_TIMEOUT_USEC=...          loading or saving takes its time: do not give up
 *   WATCHDOG=1                       it is well; sent in time, or the service is restarted
 *
 * Bun has no datagram sockets of the Unix family, so they are system calls through bun:ffi, on Linux only. Nothing waits. The
 * system keeps ten messages or so for a manager that does not read; one that finds no room is sent again later, in its turn.
 */
import { FFIType, ptr } from "bun:ffi";
import { openLibc } from "../base/libc.ts";
import type { Logger } from "../base/log.ts";
import { MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_CLOEXEC } from "./socket-numbers.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const CLOCK_MONOTONIC = 1;
/** Length of sockaddr_un's path. */
const PATH_BYTES_MAX = 108;

function load() {
  return openLibc({
    socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    sendto: {
      args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32, FFIType.ptr, FFIType.u32],
      returns: FFIType.i64_fast,
    },
    clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
  });
}

type Calls = NonNullable<ReturnType<typeof load>>;

/** How often the manager is asked for more time while the server loads or ends, and the time that is asked for. */
const EXTEND_EVERY_MS = 10_000;
const EXTEND_MS = 60_000;
/** The watchdog is fed this many times in its period, so that one late reading of a worker does no harm. */
const FEEDS = 4;
const ALIVE: readonly string[] = ["WATCHDOG=1"];
/** How often a message is sent again, and how many may wait for that. */
const RETRY_MS = 50;
const UNSENT_MAX = 100;

type Environment = Readonly<Record<string, string | undefined>>;

/** The socket of the manager. */
class NotifySocket {
  constructor(
    private readonly calls: Calls,
    private readonly descriptor: number,
    private readonly address: Uint8Array,
  ) {}

  /** Opens a socket to send to `path`; "@name" is an abstract one. Null when that cannot be. */
  static open(path: string): NotifySocket | null {
    const name = new TextEncoder().encode(path);
    const calls = name.length < PATH_BYTES_MAX ? load() : null;
    if (calls === null) return null;
    const descriptor = calls.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return null;
    const isAbstract = path.startsWith("@");
    const address = new Uint8Array(2 + name.length + (isAbstract ? 0 : 1));
    new DataView(address.buffer).setUint16(0, AF_UNIX, true);
    address.set(name, 2);
    if (isAbstract) address[2] = 0;
    return new NotifySocket(calls, descriptor, address);
  }

  send(lines: readonly string[]): boolean {
    const bytes = new TextEncoder().encode(lines.join("\n"));
    const { address } = this;
    const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const sent = this.calls.sendto(this.descriptor, ptr(bytes), bytes.length, flags, ptr(address), address.length);
    return Number(sent) === bytes.length;
  }

  /** The clock that the manager compares reloads with, microseconds. */
  monotonicMicros(): bigint {
    const time = new BigInt64Array(2);
    this.calls.clock_gettime(CLOCK_MONOTONIC, ptr(time));
    return time[0]! * 1_000_000n + time[1]! / 1000n;
  }
}

export interface ServiceHost {
  readonly log: Logger;
  /** What stands still, while clients are served; "" = nothing. */
  stalled(): string;
}

/** Tells the manager, if there is one, what the server does. Without one nothing happens. */
export class ServiceManager {
  private extending: ReturnType<typeof setInterval> | undefined;
  private isReady = false;
  private stalledBefore = "";

  private constructor(
    private readonly socket: NotifySocket | null,
    private readonly host: ServiceHost,
  ) {}

  /** `supervised` is Redis's setting: "systemd" says that there is a manager. */
  static open(environment: Environment, supervised: string, host: ServiceHost): ServiceManager {
    const path = environment["NOTIFY_SOCKET"] ?? "";
    const socket = path === "" ? null : NotifySocket.open(path);
    if (path !== "" && socket === null)
      host.log.warn(
        `the service manager at ${path} cannot be told anything: its name is too long, or bun:ffi does not load`,
      );
    if (path === "" && supervised === "systemd")
      host.log.warn("supervised is systemd, but NOTIFY_SOCKET is not set: nobody is told when the server is ready");
    const manager = new ServiceManager(socket, host);
    if (socket !== null) manager.feed(environment);
    return manager;
  }

  /** "systemd", or "no": as INFO says it. */
  static kind(environment: Environment): string {
    return (environment["NOTIFY_SOCKET"] ?? "") === "" ? "no" : "systemd";
  }

  /** The server loads its data. */
  loading(): void {
    this.tell([`STATUS=Loading the data`]);
    this.extend();
  }

  ready(status: string): void {
    clearInterval(this.extending);
    this.isReady = true;
    this.tell(["READY=1", `STATUS=${status}`]);
  }

  /** Runs `reload` between the messages that begin and end a reload. */
  whileReloading(reload: () => void): void {
    this.tell(["RELOADING=1", `MONOTONIC_USEC=${this.socket?.monotonicMicros() ?? 0n}`]);
    reload();
    this.tell(["READY=1"]);
  }

  stopping(): void {
    this.isReady = false;
    this.tell(["STOPPING=1", "STATUS=Stopping"]);
    this.extend();
  }

  /** The end failed: clients are still served. */
  goesOn(status: string): void {
    this.ready(status);
  }

  private extend(): void {
    const lines = [`EXTEND_TIMEOUT_USEC=${EXTEND_MS * 1000}`];
    this.tell(lines);
    clearInterval(this.extending);
    this.extending = setInterval(() => this.tell(lines), EXTEND_EVERY_MS);
  }

  /** Begins to feed the watchdog, if the manager has one for this process. */
  private feed(environment: Environment): void {
    const micros = Number(environment["WATCHDOG_USEC"] ?? 0);
    const pid = environment["WATCHDOG_PID"] ?? "";
    if (!(micros > 0) || (pid !== "" && Number(pid) !== process.pid)) return;
    setInterval(
      () => {
        const stalled = this.isReady ? this.host.stalled() : "";
        if (stalled === "") this.tell(ALIVE);
        else if (stalled !== this.stalledBefore)
          this.host.log.error("worker_stalled", `the service manager's watchdog is not fed: ${stalled}`);
        this.stalledBefore = stalled;
      },
      micros / 1000 / FEEDS,
    );
  }

  private tell(lines: readonly string[]): void {
    if (this.socket === null) return;
    if (this.unsent.length === 0 && this.socket.send(lines)) return;
    // Watchdogs that are late say nothing that the next one does not say.
    if (lines !== ALIVE && this.unsent.length < UNSENT_MAX) this.unsent.push(lines);
    this.retrying ??= setInterval(() => this.sendAgain(), RETRY_MS);
  }
  private readonly unsent: (readonly string[])[] = [];
  private retrying: ReturnType<typeof setInterval> | undefined;

  private sendAgain(): void {
    while (this.unsent.length > 0 && this.socket!.send(this.unsent[0]!)) this.unsent.shift();
    if (this.unsent.length > 0) return;
    clearInterval(this.retrying);
    this.retrying = undefined;
  }
}
