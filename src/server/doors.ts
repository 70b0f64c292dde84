/**
 * The doors of a worker: the listeners through which plain connections come, and what kind of connection comes through each.
 *
 *   Tcp     server.bind and server.port            every worker, over one port
 *   Admin   server.admin_bind and admin_port       every worker; has places beyond maxclients, and is not evicted
 *   Unix    server.unix_socket                     the first worker, since a path has one listener; as Admin
 *   Tls     listeners of their own (tls-listeners.ts)
 */
import { chmodSync, renameSync, rmSync } from "node:fs";
import type { TCPSocketListener, TCPSocketListenOptions, UnixSocketListener } from "bun";
import type { Config } from "../base/config/config.ts";
import type { Client } from "./client.ts";
import type { NativeSockets } from "./native-sockets.ts";
import { descriptorOf } from "./socket-facts.ts";

/** How a connection comes to a worker. */
export const Door = { Tcp: 0, Unix: 1, Tls: 2, Admin: 3 } as const;
export type Door = (typeof Door)[keyof typeof Door];

/** True for the doors of administrators. */
export function isAdminDoor(door: Door): boolean {
  return door === Door.Unix || door === Door.Admin;
}

/** Takes listeners over from Bun (transport/epoll-transport.ts). */
export interface EpollDoors {
  /** Returns false when it does not take this one. */
  take(descriptor: number, door: Door): boolean;
  readonly descriptors: readonly number[];
  doorOf(descriptor: number): Door | undefined;
  /** Stops listening. Returns true when a door of the kind `door` was among them. */
  stop(door: Door): boolean;
}

type Handlers = TCPSocketListenOptions<Client>["socket"];
type Listener = TCPSocketListener<Client> | UnixSocketListener<Client>;

export class Doors {
  private readonly listeners = new Map<Listener, Door>();
  /** Doors of connections that were accepted by a system call, by descriptor. */
  private readonly accepted = new Map<number, Door>();

  constructor(
    private readonly config: Config,
    private readonly worker: number,
    private readonly native: NativeSockets | null,
    private readonly handlersOf: (door: Door) => Handlers,
    private readonly epoll: EpollDoors | null = null,
  ) {}

  /** Opens all of them. Throws what Bun.listen throws. */
  open(): void {
    const { config } = this;
    const port = config.number("server.port");
    if (port !== 0) onEachHost(config, (hostname) => this.listen(hostname, port, Door.Tcp));
    const adminPort = config.number("server.admin_port");
    if (adminPort !== 0) this.listen(config.text("server.admin_bind"), adminPort, Door.Admin);
    if (config.text("server.unix_socket") !== "" && this.worker === 0) this.listenUnix();
  }

  private listen(hostname: string, port: number, door: Door): void {
    // Bun accepts reusePort here, but the types of Bun 1.4.5 lack it.
    const options: TCPSocketListenOptions<Client> & { reusePort: boolean } = {
      hostname,
      port,
      reusePort: true,
      socket: this.handlersOf(door),
    };
    const listener = Bun.listen<Client>(options);
    if (this.config.flag("server.tcp_fast_open")) this.native?.allowFastOpen(descriptorOf(listener));
    this.note(listener, door);
  }

  /** Bun has bound the address. The transport takes a duplicate of the descriptor over; otherwise Bun accepts. */
  private note(listener: Listener, door: Door): void {
    if (this.epoll?.take(descriptorOf(listener), door) === true) listener.stop(false);
    else this.listeners.set(listener, door);
  }

  private listenUnix(): void {
    const unix = this.config.text("server.unix_socket");
    rmSync(unix, { force: true });
    const permissions = this.config.number("server.unix_socket_perm");
    // Other users cannot connect before the permissions are set. With 0 the permissions are those of the umask.
    const umask = permissions === 0 ? process.umask() : process.umask(0o077);
    const listener = Bun.listen<Client>({ unix, socket: this.handlersOf(Door.Unix) });
    process.umask(umask);
    // A listener of Bun that stops removes its path.
    if (this.epoll !== null) renameSync(unix, `${unix}.new`);
    this.note(listener, Door.Unix);
    if (this.epoll !== null) renameSync(`${unix}.new`, unix);
    if (permissions !== 0) chmodSync(unix, permissions);
  }

  /** Descriptors of the listeners, as far as they are known. */
  get descriptors(): number[] {
    const taken = this.epoll?.descriptors ?? [];
    return [...taken, ...[...this.listeners.keys()].map(descriptorOf).filter((descriptor) => descriptor >= 0)];
  }

  /** A connection was accepted by a system call. */
  noteAccepted(descriptor: number, listener: number): void {
    const door = this.epoll?.doorOf(listener);
    if (door !== undefined) return void this.accepted.set(descriptor, door);
    for (const [each, door] of this.listeners) if (descriptorOf(each) === listener) this.accepted.set(descriptor, door);
  }

  /** The door of a connection that was accepted so. It is forgotten. */
  takeAccepted(descriptor: number): Door {
    const door = this.accepted.get(descriptor) ?? Door.Tcp;
    this.accepted.delete(descriptor);
    return door;
  }

  stop(): void {
    for (const listener of this.listeners.keys()) listener.stop(false);
    if (this.epoll?.stop(Door.Unix) === true) rmSync(this.config.text("server.unix_socket"), { force: true });
  }
}

/** Calls `open` with each configured address. An optional address may fail. */
export function onEachHost(config: Config, open: (host: string) => void): void {
  for (const { host, optional } of config.bindHosts) {
    try {
      open(host);
    } catch (thrown) {
      if (!optional) throw thrown;
    }
  }
}
