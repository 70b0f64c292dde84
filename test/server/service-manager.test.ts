/**
 * Goal:   a service manager hears in time what the server does, and restarts it when it hangs.
 * Method: play the manager: receive the datagrams of a real server, from its start over a reload to its end; and of a
 *         ServiceManager whose workers stand still.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "../../src/base/log.ts";
import { ServiceManager } from "../../src/server/service-manager.ts";
import { Certificates } from "../support/certificates.ts";
import { NotifyReceiver } from "../support/notify-socket.ts";
import { ask } from "../support/resp.ts";
import { freePort, startFerrite } from "../support/servers.ts";

const root = mkdtempSync(join(tmpdir(), "ferrite-notify-"));
const certificates = new Certificates();
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
  certificates.remove();
});

const TIMEOUT_MS = 60_000;
const has = (line: string) => (lines: readonly string[]) => lines.includes(line);

test(
  "a server tells when it is ready, reloads, is well, and stops",
  async () => {
    const socket = join(root, "notify");
    const manager = new NotifyReceiver(socket);
    const { cert, key } = certificates.authority("own");
    const tlsPort = await freePort();
    const server = await startFerrite({
      env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "1000000" },
      args: ["--tls-port", String(tlsPort), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no"],
    });
    try {
      const ready = await manager.next("READY", has("READY=1"));
      const { port } = server;
      expect(ready[1]).toBe(
        `STATUS=Ready to accept connections tcp: 127.0.0.1 port ${port}, tls: 127.0.0.1 port ${tlsPort}, 2 workers`,
      );
      const client = await server.connect();
      expect(await ask(client, "INFO", "server")).toContain("process_supervised:systemd");
      client.close();
      for (let fed = 0; fed < 3; fed++) await manager.next("WATCHDOG", has("WATCHDOG=1"));
      server.signal("SIGHUP");
      const reloading = await manager.next("RELOADING", has("RELOADING=1"));
      // systemd takes the end of a reload for one only if this is later than its own request.
      const uptime = Number(readFileSync("/proc/uptime", "latin1").split(" ")[0]);
      const micros = Number(reloading.find((line) => line.startsWith("MONOTONIC_USEC="))!.slice(15));
      expect(Math.abs(micros / 1e6 - uptime)).toBeLessThan(60);
      await manager.next("READY after the reload", has("READY=1"));
      server.signal("SIGTERM");
      await manager.next("STOPPING", has("STOPPING=1"));
      expect((await server.exited).code).toBe(0);
    } finally {
      await server.stop();
      manager.close();
    }
    expect(manager.messages).toContainEqual(["STATUS=Loading the data"]);
  },
  TIMEOUT_MS,
);

/** A ServiceManager with a manager in this process. */
function playing(variables: Record<string, string>): {
  receiver: NotifyReceiver;
  manager: ServiceManager;
  errors: string[];
  stall: (text: string) => void;
} {
  const path = `@ferrite-test-${crypto.randomUUID()}`;
  const receiver = new NotifyReceiver(path);
  const errors: string[] = [];
  let stalled = "";
  const log = { error: (_type: string, text: string) => errors.push(text), warn: (text: string) => errors.push(text) };
  const host = { log: log as unknown as Logger, stalled: () => stalled };
  const manager = ServiceManager.open({ NOTIFY_SOCKET: path, ...variables }, "no", host);
  const stall = (text: string): void => {
    stalled = text;
  };
  return { receiver, manager, errors, stall };
}

test(
  "the watchdog starves while a worker stands still, and only then",
  async () => {
    const { receiver, manager, errors, stall } = playing({ WATCHDOG_USEC: "40000" });
    stall("worker 1 stands still");
    // Before it is ready a server may take its time.
    await receiver.next("WATCHDOG", has("WATCHDOG=1"));
    manager.ready("well");
    await receiver.next("READY", has("READY=1"));
    while (errors.length === 0) await Bun.sleep(5);
    receiver.receive();
    const before = receiver.messages.length;
    await Bun.sleep(100);
    receiver.receive();
    expect(receiver.messages.slice(before)).toEqual([]);
    expect(errors).toEqual(["the service manager's watchdog is not fed: worker 1 stands still"]);
    stall("");
    await receiver.next("WATCHDOG", has("WATCHDOG=1"));
    receiver.close();
  },
  TIMEOUT_MS,
);

test("a watchdog for another process is not fed, and a lost manager harms nobody", async () => {
  const { receiver, manager, errors } = playing({ WATCHDOG_USEC: "1000", WATCHDOG_PID: "1" });
  await Bun.sleep(50);
  receiver.receive();
  expect(receiver.messages).toEqual([]);
  receiver.close();
  manager.ready("nobody hears this");
  expect(errors).toEqual([]);
});

test(
  "a message that finds no room is sent again when the manager reads",
  async () => {
    const { receiver, manager } = playing({ WATCHDOG_USEC: "4000" });
    // The system keeps net.unix.max_dgram_qlen messages.
    for (let n = 0; n < 300; n++) manager.ready(`message ${n}`);
    const told: string[] = [];
    while (told.at(-1) !== "STATUS=message 50") told.push((await receiver.next("READY", has("READY=1")))[1]!);
    expect(told).toEqual(Array.from({ length: 51 }, (_, n) => `STATUS=message ${n}`));
    await receiver.next("WATCHDOG", has("WATCHDOG=1"));
    receiver.close();
  },
  TIMEOUT_MS,
);

test("a server that should have a manager says when it has none", () => {
  const warnings: string[] = [];
  const log = { warn: (text: string) => warnings.push(text) } as unknown as Logger;
  const open = (environment: Record<string, string>, supervised: string) =>
    ServiceManager.open(environment, supervised, { log, stalled: () => "" }).ready("");
  open({}, "no");
  open({}, "auto");
  expect(warnings).toEqual([]);
  open({}, "systemd");
  expect(warnings[0]).toContain("NOTIFY_SOCKET is not set");
  open({ NOTIFY_SOCKET: `/${"x".repeat(200)}` }, "no");
  expect(warnings[1]).toContain("cannot be told anything");
});
