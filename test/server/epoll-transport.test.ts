/**
 * The epoll transport over real sockets, with clients of Bun in the same thread, so that both loops have work.
 *
 * Goal:   bytes arrive whole and in order in both directions; each end of a connection is noticed once; what Bun's loop has to do
 *         (timers, immediates, promises, its own sockets) is done while ours is busy; an idle loop sleeps and is woken.
 * Method: a server that echoes, or that holds its output back.
 */
import { expect, test } from "bun:test";
import type { Socket } from "bun";
import { loadConfigText } from "../../src/base/config/load.ts";
import { Door } from "../../src/server/doors.ts";
import { isWorkDue, soon } from "../../src/base/soon.ts";
import type { Pieces } from "../../src/store/large.ts";
import { EpollTransport, usesEpoll } from "../../src/server/transport/epoll-transport.ts";
import type { EpollSocket, SocketUser } from "../../src/server/transport/epoll-sockets.ts";
import type { EventLoop } from "../../src/server/transport/event-loop.ts";

/** A connection of the server: what it does is replaced by each test. */
class Peer implements SocketUser {
  received: Buffer[] = [];
  length = 0;
  drains = 0;
  ends = 0;
  onBytes: (bytes: Buffer) => void = (bytes) => void this.socket.write(bytes, 0, bytes.length);
  onDrain = (): void => {};
  /** Where the next bytes go, if not into `received`. */
  pieces: Buffer[] = [];
  filled = 0;

  constructor(readonly socket: EpollSocket<Peer>) {}
  receive(bytes: Buffer, length: number): void {
    const copy = Buffer.from(bytes.subarray(0, length));
    this.received.push(copy);
    this.length += length;
    this.onBytes(copy);
  }
  openPieces(into: Pieces): number {
    into.count = 0;
    let room = 0;
    for (const piece of this.pieces) {
      into.bytes[into.count] = piece;
      into.offsets[into.count] = 0;
      into.lengths[into.count++] = piece.length;
      room += piece.length;
    }
    return room;
  }
  filledPieces(length: number): void {
    this.filled += length;
    this.pieces = [];
  }
  drained(): void {
    this.drains++;
    this.onDrain();
  }
  disconnected(): void {
    this.ends++;
  }
}

const MACHINE = { memoryBytes: 1 << 30, cgroupMemoryBytes: 0, cpus: 2 };
const peers: Peer[] = [];
const failures: unknown[] = [];
let loop: EventLoop | null = null;
const transport = EpollTransport.open<Peer>({
  now: () => performance.now(),
  failed: (thrown) => failures.push(thrown),
  began: (begun) => {
    loop = begun;
  },
  hostOf: () => ({
    open(socket) {
      socket.data = new Peer(socket);
      socket.setNoDelay(true);
      socket.setKeepAlive(true, 300_000);
      peers.push(socket.data);
    },
    received: () => {},
    failed: (thrown) => failures.push(thrown),
  }),
});
const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
const { port } = listener;
const isTaken = transport?.take((listener as unknown as { fd: number }).fd, Door.Tcp) === true;
listener.stop(true);

interface Near {
  socket: Socket<undefined>;
  received: () => Buffer;
  closed: Promise<void>;
}

/** Connects a client of Bun. Returns it with the server's side. */
async function connect(handlers: { ended?: () => void } = {}): Promise<[Near, Peer]> {
  const before = peers.length;
  const parts: Buffer[] = [];
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: {
      data: (_, bytes) => void parts.push(Buffer.from(bytes)),
      end: () => handlers.ended?.(),
      close: () => resolve(),
      error: () => {},
    },
  });
  await until(() => peers.length > before);
  return [{ socket, received: () => Buffer.concat(parts), closed }, peers[before]!];
}

async function until(isSo: () => boolean): Promise<void> {
  for (let n = 0; n < 2000 && !isSo(); n++) await Bun.sleep(1);
  expect(isSo()).toBe(true);
}

test("the transport is there on Linux, and has taken the listener over", () => {
  expect(isTaken).toBe(process.platform === "linux");
  expect(transport!.descriptors.length).toBe(1);
  expect(transport!.doorOf(transport!.descriptors[0]!)).toBe(Door.Tcp);
});

test("it is used unless the configuration says otherwise", () => {
  for (const [text, isUsed] of [
    ["", true],
    ['[server]\ntransport = "auto"', true],
    ['[server]\ntransport = "epoll"', true],
    ['[server]\ntransport = "bun"', false],
  ] as const)
    expect(usesEpoll(loadConfigText(text, "ferrite.toml", MACHINE).config)).toBe(isUsed);
});

test("bytes come back in order, also more than one receive takes", async () => {
  const [near, peer] = await connect();
  near.socket.write("abc");
  await until(() => near.received().length === 3);
  expect(peer.socket.remoteAddress).toBe("127.0.0.1");
  expect(peer.socket.localPort).toBe(port);
  expect(peer.socket.remotePort).toBe(near.socket.localPort);
  const sent = Buffer.alloc(3 << 20);
  for (let n = 0; n < sent.length; n += 4) sent.writeUInt32LE(n, n);
  // Nothing is echoed, so that the client's output can always go on.
  peer.onBytes = () => {};
  for (let at = 0; at < sent.length; await Bun.sleep(0)) at += Math.max(0, near.socket.write(sent.subarray(at)));
  await until(() => peer.length === 3 + sent.length);
  expect(Buffer.concat(peer.received).subarray(3).equals(sent)).toBe(true);
  near.socket.end();
  await until(() => peer.ends === 1);
});

test("a slow reader: what the socket does not take is written when it drains", async () => {
  const [near, peer] = await connect();
  near.socket.pause();
  const bytes = Buffer.alloc(8 << 20, "0123456789");
  let at = 0;
  const write = (): void => {
    while (at < bytes.length) {
      const taken = peer.socket.write(bytes, at, bytes.length - at);
      at += taken;
      if (taken === 0 || at === bytes.length) return;
    }
  };
  peer.onDrain = write;
  write();
  expect(at).toBeLessThan(bytes.length);
  near.socket.resume();
  await until(() => near.received().length === bytes.length);
  expect(near.received().equals(bytes)).toBe(true);
  expect(peer.drains).toBeGreaterThan(0);
  near.socket.end();
});

test("input goes straight into pieces of memory, and what follows into the buffer", async () => {
  const [near, peer] = await connect();
  const first = Buffer.alloc(3);
  const second = Buffer.from(new SharedArrayBuffer(5));
  peer.pieces = [first, second];
  near.socket.write("abcdefghijk");
  await until(() => peer.filled + peer.length === 11);
  expect(first.toString()).toBe("abc");
  expect(second.toString()).toBe("defgh");
  expect(Buffer.concat(peer.received).toString()).toBe("ijk");
  peer.pieces = [Buffer.alloc(8)];
  near.socket.write("lm");
  await until(() => peer.filled === 10);
  expect(peer.length).toBe(3);
  near.socket.end();
});

test("a paused socket delivers nothing until it is resumed, and its end is noticed", async () => {
  const [near, peer] = await connect();
  peer.socket.pause();
  near.socket.write("wait");
  await Bun.sleep(20);
  expect(peer.length).toBe(0);
  peer.socket.resume();
  await until(() => peer.length === 4);
  peer.socket.pause();
  near.socket.terminate();
  await until(() => peer.ends === 1);
});

test("`end` sends what was written, drops what comes, and the end of the peer closes", async () => {
  let hasEnded = false;
  const [near, peer] = await connect({ ended: () => (hasEnded = true) });
  peer.onBytes = () => {
    peer.socket.write(Buffer.from("last"), 0, 4);
    peer.socket.end();
    peer.socket.end();
  };
  near.socket.write("x");
  await until(() => hasEnded);
  expect(near.received().toString()).toBe("last");
  expect(peer.ends).toBe(0);
  near.socket.write("dropped");
  expect(peer.socket.write(Buffer.from("no"), 0, 2)).toBe(-1);
  near.socket.end();
  await until(() => peer.ends === 1);
  expect(peer.length).toBe(1);
});

test("`terminate` within a handler closes once; a reset of the peer closes once", async () => {
  const [near, peer] = await connect();
  peer.onBytes = () => {
    peer.socket.terminate();
    peer.socket.terminate();
  };
  near.socket.write("x");
  await until(() => peer.ends === 1);
  near.socket.end();
  await near.closed;
  expect(peer.ends).toBe(1);
  const [other, reset] = await connect();
  other.socket.terminate();
  await until(() => reset.ends === 1);
  expect(reset.socket.write(Buffer.from("x"), 0, 1)).toBe(-1);
});

test("a handler that throws is reported, and others go on", async () => {
  const [near, peer] = await connect();
  peer.onBytes = () => {
    throw new Error("mine");
  };
  near.socket.write("x");
  await until(() => failures.length === 1);
  expect(String(failures.pop())).toContain("mine");
  peer.onBytes = (bytes) => void peer.socket.write(bytes, 0, bytes.length);
  near.socket.write("y");
  await until(() => near.received().toString() === "y");
  near.socket.end();
});

test("while the loop is busy, timers, immediates and promises run, and work that is due comes before further events", async () => {
  const [near, peer] = await connect();
  const order: string[] = [];
  let immediates = 0;
  const count = (): void => {
    if (++immediates < 100) soon(count);
  };
  peer.onBytes = () => {
    order.push("bytes");
    loop!.later(() => order.push("due"));
    void Promise.resolve().then(() => order.push("promise"));
  };
  soon(count);
  expect(isWorkDue()).toBe(true);
  let timers = 0;
  const timer = setInterval(() => timers++, 1);
  for (let n = 0; n < 50; n++) {
    near.socket.write("x");
    await until(() => peer.length > n);
  }
  await until(() => order.length === 150);
  clearInterval(timer);
  for (let n = 0; n < 150; n += 3) expect(order.slice(n, n + 3)).toEqual(["bytes", "due", "promise"]);
  expect(immediates).toBe(100);
  expect(timers).toBeGreaterThan(0);
  near.socket.end();
});

test("an idle loop sleeps, once, and is woken by bytes and by a new connection", async () => {
  const [near] = await connect();
  await until(() => !isWorkDue());
  await Bun.sleep(100);
  const { sleeps } = loop!;
  expect(sleeps).toBeGreaterThan(0);
  await Bun.sleep(100);
  expect(loop!.sleeps).toBe(sleeps);
  near.socket.write("hello");
  await until(() => near.received().toString() === "hello");
  await until(() => loop!.sleeps > sleeps);
  const [another] = await connect();
  another.socket.write("again");
  await until(() => another.received().toString() === "again");
  near.socket.end();
  another.socket.end();
});

test("descriptors that are used again get no event of their predecessors", async () => {
  for (let n = 0; n < 30; n++) {
    const pairs = await Promise.all([connect(), connect(), connect()].map(async (pair) => (await pair)[0]));
    for (const { socket } of pairs) socket.write("abcdef");
    await until(() => pairs.every(({ received }) => received().length === 6));
    for (const { socket } of pairs) socket.terminate();
  }
  expect(failures).toEqual([]);
});

test("after `stop` nobody can connect, and connections stay", async () => {
  const [near] = await connect();
  expect(transport!.stop(Door.Tcp)).toBe(true);
  expect(transport!.descriptors).toEqual([]);
  near.socket.write("still");
  await until(() => near.received().toString() === "still");
  expect(Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } })).rejects.toThrow();
  near.socket.end();
});
