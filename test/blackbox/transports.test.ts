/**
 * Goal:   plain connections are served alike by both transports (server.transport): long values in odd pieces, ends of connections,
 *         wake-ups of other workers' clients.
 * Method: the same scenes against a server with two workers of each transport. In the other tests of
 *         connections every second server has the sockets of Bun (alternateTransports).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Socket } from "bun";
import { ask, type RespClient } from "../support/resp.ts";
import { clientOfEach, type Server, startFerrite } from "../support/servers.ts";

const VALUE_BYTES = (1 << 20) + 77;

interface Raw {
  socket: Socket<undefined>;
  text: () => string;
  closed: Promise<void>;
}

async function raw(port: number, allowHalfOpen = false): Promise<Raw> {
  let text = "";
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen,
    socket: {
      data(_, bytes) {
        text += bytes.toString("latin1");
      },
      end: () => resolve(),
      close: () => resolve(),
      error: () => {},
    },
  });
  return { socket, text: () => text, closed };
}

describe.each(["bun", "epoll"])("transport %s", (transport) => {
  let server: Server;
  beforeAll(async () => {
    server = await startFerrite({ workers: 2, settings: { "server.transport": transport } });
  });
  afterAll(() => server.stop());

  test("a long value that comes in odd pieces, and the commands behind it", async () => {
    const value = Buffer.alloc(VALUE_BYTES);
    for (let n = 0; n < value.length; n++) value[n] = 97 + ((n * 31) % 26);
    const request = Buffer.concat([
      Buffer.from(`*3\r\n$3\r\nSET\r\n$4\r\nlong\r\n$${VALUE_BYTES}\r\n`),
      value,
      Buffer.from("\r\n*2\r\n$6\r\nSTRLEN\r\n$4\r\nlong\r\n*1\r\n$4\r\nPING\r\n"),
    ]);
    for (const size of [7, 65_536, 100_003, request.length]) {
      const client = await server.connect();
      await ask(client, "DEL", "long");
      const { socket, text } = await raw(server.port);
      // The first pieces are small, so that head, value and line end are cut everywhere.
      let at = 0;
      for (let n = 0; at < request.length; n++) {
        const to = Math.min(request.length, at + (n < 20 || request.length - at < 90 ? Math.min(size, 11) : size));
        const taken = socket.write(request.subarray(at, to));
        at += Math.max(0, taken);
        if (taken < 11 || n < 20) await Bun.sleep(0);
        if (size === 7 && n === 40) break;
      }
      if (size === 7) {
        socket.terminate();
        expect(await ask(client, "EXISTS", "long")).toBe(":0");
      } else {
        while (!text().endsWith("+PONG\r\n")) await Bun.sleep(1);
        expect(text()).toBe(`+OK\r\n:${VALUE_BYTES}\r\n+PONG\r\n`);
        expect(await ask(client, "GET", "long")).toBe(JSON.stringify(value.toString("latin1")));
        socket.end();
      }
      client.close();
    }
  });

  test("a client that ends its side hears the replies; one that resets the connection harms nobody", async () => {
    const half = await raw(server.port, true);
    half.socket.write("SET half 1\r\nINCR half\r\nPING\r\n");
    while (!half.text().endsWith("+PONG\r\n")) await Bun.sleep(1);
    half.socket.end();
    await half.closed;
    expect(half.text()).toBe("+OK\r\n:2\r\n+PONG\r\n");
    const others = await Promise.all(Array.from({ length: 20 }, () => raw(server.port)));
    for (const { socket } of others) {
      socket.write("SET cut 1\r\n".repeat(500));
      socket.terminate();
    }
    const quit = await raw(server.port);
    quit.socket.write("PING\r\nQUIT\r\nPING\r\n");
    await quit.closed;
    expect(quit.text()).toBe("+PONG\r\n+OK\r\n");
  });

  test("clients of either worker wake each other", async () => {
    const [first, second] = (await clientOfEach(2, () => server.connect())) as [RespClient, RespClient];
    for (const [waiter, pusher] of [
      [first, second],
      [second, first],
    ] as const)
      for (let n = 0; n < 20; n++) {
        // Every other time the loops have fallen asleep.
        if (n % 2 === 1) await Bun.sleep(12);
        const popped = ask(waiter, "BLPOP", "queue", "10");
        await ask(pusher, "RPUSH", "queue", String(n));
        expect(await popped).toContain(`"${n}"`);
      }
    const victim = await raw(server.port);
    victim.socket.write("CLIENT ID\r\n");
    while (!victim.text().endsWith("\r\n")) await Bun.sleep(1);
    expect(await ask(second, "CLIENT", "KILL", "ID", victim.text().slice(1).trim())).toBe(":1");
    await victim.closed;
    first.close();
    second.close();
  });
});
