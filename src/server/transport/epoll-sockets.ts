/**
 * The plain sockets of a worker on Linux: accepted, read and written by system calls, in the rounds of an EventLoop.
 *
 * Input is received into one buffer of the worker and parsed there, so no buffer is made for an event. While a long value is staged
 * its bytes are received straight into its chunks, and what follows them into that buffer, by one call.
 *
 *   Open ──► Ending   `end`: our side is shut down. What the peer still sends is read and dropped, until it closes or LINGER_MS
 *                     are over, so that no reset overtakes the last replies
 *        ──► Closed   the peer has closed, an error, `terminate`; the handler `close` is called then, and once
 *
 * Errors of recv and send are not looked at. After a failure the epoll tells what happened: the socket is not ready, or it has an
 * error, which ends it.
 */
import { ptr } from "bun:ffi";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, type EventLoop, type Watcher } from "./event-loop.ts";
import { type Pieces, PIECES_MAX } from "../../store/large.ts";
import { IPPROTO_TCP, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_NONBLOCK } from "../socket-numbers.ts";
import { type SocketAddress, SocketAddresses } from "./socket-address.ts";
import { errorNumber, type SystemCalls, Words } from "./system-calls.ts";

const SOL_SOCKET = 1;
const SO_KEEPALIVE = 9;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
const KEEPALIVE_PROBES = 3;
const SHUT_WR = 1;
/** No descriptor or no memory is left: ENFILE, EMFILE, ENOBUFS, ENOMEM. */
const NO_ROOM = [23, 24, 105, 12];
const VECTOR_WORDS = 4;

/** Length of the input buffer. A longer input takes several rounds, in which the other sockets have their turn. */
const INPUT_BYTES = 256 << 10;
/** Connections accepted in a row. */
const ACCEPTS = 64;
/** A listener whose connections find no descriptor rests for so long. */
const REST_MS = 100;
const LINGER_MS = 2000;

/** What a connection does with its socket's events. */
export interface SocketUser {
  /** Accepts `length` bytes at the beginning of `bytes`. */
  receive(bytes: Buffer, length: number): void;
  /** Enters where the next bytes shall go, if they are those of a long value. Returns the length of all pieces, 0 = no piece. */
  openPieces(pieces: Pieces): number;
  /** `length` bytes have been received into the pieces. */
  filledPieces(length: number): void;
  drained(): void;
  disconnected(): void;
}

/** What the owner of the sockets does. */
export interface SocketHost<U extends SocketUser> {
  /** A new connection. Sets `socket.data`. */
  open(socket: EpollSocket<U>): void;
  /** Bytes were received. */
  received(length: number): void;
  /** The connection of `user` threw. */
  failed(thrown: unknown, user: U): void;
}

const State = { Open: 0, Ending: 1, Closed: 2 } as const;
type State = (typeof State)[keyof typeof State];

export class EpollSockets<U extends SocketUser> {
  readonly input = Buffer.from(new ArrayBuffer(INPUT_BYTES));
  private readonly inputAddress = ptr(this.input);
  private readonly vector = new Words((PIECES_MAX + 1) * VECTOR_WORDS);
  private readonly pieces: Pieces = {
    bytes: [],
    offsets: new Float64Array(PIECES_MAX),
    lengths: new Int32Array(PIECES_MAX),
    count: 0,
  };
  private readonly value = new Words(1);
  private readonly addresses: SocketAddresses;
  private readonly listeners = new Map<number, Watcher>();
  private generation = 0;

  constructor(
    readonly calls: SystemCalls,
    readonly loop: EventLoop,
  ) {
    this.addresses = new SocketAddresses(calls);
  }

  /** Accepts the connections of a listening descriptor, which is this object's from then on. */
  listen(descriptor: number, host: SocketHost<U>): void {
    const watcher = { generation: ++this.generation, ready: () => this.accept(descriptor, host) };
    this.listeners.set(descriptor, watcher);
    this.loop.watch(descriptor, watcher, EPOLLIN);
  }

  private accept(listener: number, host: SocketHost<U>): void {
    for (let n = 0; n < ACCEPTS; n++) {
      const descriptor = this.calls.accept4(listener, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (descriptor >= 0) this.adopt(descriptor, host);
      else if (NO_ROOM.includes(errorNumber(this.calls))) return this.rest(listener);
      else return;
    }
  }

  /** Otherwise the epoll would report the connections that wait again and again. */
  private rest(listener: number): void {
    this.loop.unwatch(listener);
    setTimeout(() => {
      const watcher = this.listeners.get(listener);
      if (watcher !== undefined) this.loop.watch(listener, watcher, EPOLLIN);
    }, REST_MS);
  }

  /** Takes over a connected descriptor. */
  adopt(descriptor: number, host: SocketHost<U>): EpollSocket<U> {
    const socket = new EpollSocket<U>(this, descriptor, ++this.generation, host);
    this.loop.watch(descriptor, socket, EPOLLIN);
    host.open(socket);
    return socket;
  }

  /** Address of this end of a connection, or of the other one. */
  addressOf(descriptor: number, isPeer: boolean): SocketAddress {
    return this.addresses.of(descriptor, isPeer);
  }

  setOption(descriptor: number, level: number, option: number, value: number): void {
    this.value.words[0] = value;
    this.calls.setsockopt(descriptor, level, option, this.value.address, 4);
  }

  /** Receives for `user`: into its pieces, and what follows them into `input`. Returns the number of all bytes, or that of recv. */
  receive(descriptor: number, user: U): number {
    const { calls, vector, pieces } = this;
    const room = user.openPieces(pieces);
    let length: number;
    if (room === 0) {
      length = Number(calls.recv(descriptor, this.inputAddress, INPUT_BYTES, 0));
    } else {
      const { bytes, offsets, lengths, count } = pieces;
      for (let n = 0; n < count; n++) setVector(vector.words, n, ptr(bytes[n]!, offsets[n]!), lengths[n]!);
      setVector(vector.words, count, this.inputAddress, INPUT_BYTES);
      length = Number(calls.readv(descriptor, vector.address, count + 1));
      if (length > 0) user.filledPieces(Math.min(length, room));
    }
    if (length > room) user.receive(this.input, length - room);
    return length;
  }

  /** Stops listening. Connections stay. */
  stop(): void {
    for (const descriptor of this.listeners.keys()) {
      this.loop.unwatch(descriptor);
      this.calls.close(descriptor);
    }
    this.listeners.clear();
  }

  /** Descriptors of the listeners. */
  get descriptors(): number[] {
    return [...this.listeners.keys()];
  }
}

export class EpollSocket<U extends SocketUser> implements Watcher {
  data!: U;
  private state: State = State.Open;
  /** What the loop watches for. */
  private events = EPOLLIN;

  constructor(
    private readonly sockets: EpollSockets<U>,
    readonly fd: number,
    readonly generation: number,
    private readonly host: SocketHost<U>,
  ) {}

  ready(events: number): void {
    try {
      this.handle(events);
    } catch (thrown) {
      this.host.failed(thrown, this.data);
    }
  }

  private handle(events: number): void {
    if (this.state === State.Ending) return this.dropInput();
    if ((events & EPOLLOUT) !== 0) {
      this.watchFor(this.events & ~EPOLLOUT);
      this.data.drained();
    }
    if ((events & this.events & EPOLLIN) !== 0) {
      const length = this.sockets.receive(this.fd, this.data);
      if (length > 0) return this.host.received(length);
      if (length === 0) return this.closed();
    }
    if ((events & (EPOLLERR | EPOLLHUP)) !== 0) this.closed();
  }

  private dropInput(): void {
    const { calls, input } = this.sockets;
    if (Number(calls.recv(this.fd, ptr(input), INPUT_BYTES, 0)) <= 0) this.closed();
  }

  /** Sends bytes. Returns how many the socket took; when fewer, `drained` is called later. -1 = the connection has ended. */
  write(bytes: Uint8Array, offset: number, length: number): number {
    if (this.state !== State.Open) return -1;
    const sent = Number(this.sockets.calls.send(this.fd, ptr(bytes, offset), length, MSG_NOSIGNAL));
    if (sent === length) return sent;
    this.watchFor(this.events | EPOLLOUT);
    return Math.max(0, sent);
  }

  private watchFor(events: number): void {
    if (events === this.events || this.state === State.Closed) return;
    this.events = events;
    this.sockets.loop.watchFor(this.fd, this, events);
  }

  /** Stops and starts reading. Meanwhile the peer's bytes wait in the kernel. */
  pause(): void {
    this.watchFor(this.events & ~EPOLLIN);
  }
  resume(): void {
    this.watchFor(this.events | EPOLLIN);
  }

  /** Closes the connection behind what was written. */
  end(): void {
    if (this.state !== State.Open) return;
    this.sockets.calls.shutdown(this.fd, SHUT_WR);
    this.watchFor(EPOLLIN);
    this.state = State.Ending;
    setTimeout(() => this.closed(), LINGER_MS).unref();
  }

  /** Closes the connection at once. */
  terminate(): void {
    this.closed();
  }

  private closed(): void {
    if (this.state === State.Closed) return;
    this.state = State.Closed;
    this.sockets.loop.unwatch(this.fd);
    this.sockets.calls.close(this.fd);
    this.data?.disconnected();
  }

  // ---- facts and options ----

  get remoteAddress(): string {
    return this.sockets.addressOf(this.fd, true).host;
  }
  get remotePort(): number {
    return this.sockets.addressOf(this.fd, true).port;
  }
  get localAddress(): string {
    return this.sockets.addressOf(this.fd, false).host;
  }
  get localPort(): number {
    return this.sockets.addressOf(this.fd, false).port;
  }

  setNoDelay(isOn: boolean): void {
    this.sockets.setOption(this.fd, IPPROTO_TCP, TCP_NODELAY, isOn ? 1 : 0);
  }

  /** Probes of a connection that is silent for `delayMs`; it ends after KEEPALIVE_PROBES without an answer. */
  setKeepAlive(isOn: boolean, delayMs: number): void {
    const seconds = Math.max(1, Math.round(delayMs / 1000));
    this.sockets.setOption(this.fd, SOL_SOCKET, SO_KEEPALIVE, isOn ? 1 : 0);
    this.sockets.setOption(this.fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
    this.sockets.setOption(this.fd, IPPROTO_TCP, TCP_KEEPINTVL, Math.max(1, Math.floor(seconds / KEEPALIVE_PROBES)));
    this.sockets.setOption(this.fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
  }
}

/** Writes element `n` of an iovec: two words of the address, two of the length. */
function setVector(words: Int32Array, n: number, address: number, length: number): void {
  const at = n * VECTOR_WORDS;
  words[at] = address | 0;
  words[at + 1] = Math.floor(address / 2 ** 32);
  words[at + 2] = length;
  words[at + 3] = 0;
}
