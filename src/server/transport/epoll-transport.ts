/**
 * The epoll transport of a worker: the loop, the sockets, and the doors that it has taken over from Bun. Bun.listen resolves and binds
 * each address; its listener then stops, and a duplicate of its descriptor is ours.
 */
import type { Config } from "../../base/config/config.ts";
import type { Door, EpollDoors } from "../doors.ts";
import { type EpollSocket, EpollSockets, type SocketHost, type SocketUser } from "./epoll-sockets.ts";
import { EventLoop, type LoopHost } from "./event-loop.ts";
import { openSystemCalls, type SystemCalls } from "./system-calls.ts";

/** True when plain connections shall be served by epoll, where that is available. */
export function usesEpoll(config: Config): boolean {
  return config.text("server.transport") !== "bun";
}

export interface EpollHost<U extends SocketUser> extends LoopHost {
  /** What is done with the connections of a door. */
  hostOf(door: Door): SocketHost<U>;
  /** The loop is there: work that is due goes through it from now on. */
  began(loop: EventLoop): void;
}

export class EpollTransport<U extends SocketUser> implements EpollDoors {
  private sockets: EpollSockets<U> | null = null;
  private readonly doors = new Map<number, Door>();

  /** Returns null where system calls are not available. */
  static open<U extends SocketUser>(host: EpollHost<U>): EpollTransport<U> | null {
    const calls = openSystemCalls();
    return calls === null ? null : new EpollTransport(calls, host);
  }

  private constructor(
    private readonly calls: SystemCalls,
    private readonly host: EpollHost<U>,
  ) {}

  /** Where `descriptor` is the first one, it must be a listener that Bun's loop of this thread watches. */
  take(descriptor: number, door: Door): boolean {
    this.sockets ??= this.begin(descriptor);
    const copy = this.sockets === null ? -1 : this.calls.dup(descriptor);
    if (copy < 0) return false;
    this.doors.set(copy, door);
    this.sockets!.listen(copy, this.host.hostOf(door));
    return true;
  }

  private begin(known: number): EpollSockets<U> | null {
    const loop = EventLoop.open(this.calls, known, this.host);
    if (loop === null) return null;
    this.host.began(loop);
    return new EpollSockets(this.calls, loop);
  }

  /** Takes over a connection that was accepted elsewhere. Returns null when there is no listener here. */
  adopt(descriptor: number, door: Door): EpollSocket<U> | null {
    return this.sockets?.adopt(descriptor, this.host.hostOf(door)) ?? null;
  }

  get descriptors(): readonly number[] {
    return [...this.doors.keys()];
  }
  doorOf(descriptor: number): Door | undefined {
    return this.doors.get(descriptor);
  }

  stop(door: Door): boolean {
    this.sockets?.stop();
    const hadDoor = [...this.doors.values()].includes(door);
    this.doors.clear();
    return hadDoor;
  }
}
