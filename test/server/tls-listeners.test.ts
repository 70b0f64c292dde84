/**
 * Goal:   a connection that waits to be accepted when the certificate changes is served, by either way of changing it.
 * Method: this thread sleeps while clients of another process connect, so their connections wait in the kernel. Then it changes
 *         the certificate before its event loop turns. A listener whose socket is closed resets what waits in it.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { NativeSockets } from "../../src/server/native-sockets.ts";
import type { TlsListenOptions } from "../../src/server/tls-files.ts";
import { TlsListeners } from "../../src/server/tls-listeners.ts";
import { Certificates, requireOpenssl, type Signed } from "../support/certificates.ts";
import { freePort } from "../support/servers.ts";

const files = new Certificates();
afterAll(() => files.remove());

const CLIENTS = 12;
/** In which the clients have connected. Fewer would make the test easier to pass, not harder. */
const CONNECT_MS = 700;

describe.if(requireOpenssl())("TlsListeners", () => {
  const ca = files.authority("ca");
  const optionsOf = ({ cert, key }: Signed): TlsListenOptions => ({
    cert: readFileSync(cert, "utf8"),
    key: readFileSync(key, "utf8"),
    requestCert: false,
    rejectUnauthorized: false,
    minVersion: 0x0303,
    maxVersion: 0x0304,
  });
  const first = optionsOf(files.signed("first", ca));
  const second = optionsOf(files.signed("second", ca));

  test.each([
    ["by a duplicate of the descriptor", NativeSockets.open()],
    ["by a further socket", null],
  ])("%s", async (_way, native) => {
    const port = await freePort();
    const handlers = { data: () => {}, handshake: (socket: { end(): void }) => socket.end() };
    const listeners = new TlsListeners(native, handlers as unknown as ConstructorParameters<typeof TlsListeners>[1]);
    listeners.open("127.0.0.1", port, first);
    const clients = Array.from({ length: CLIENTS }, () =>
      Bun.spawn(["openssl", "s_client", "-connect", `127.0.0.1:${port}`, "-CAfile", ca.cert], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      }),
    );
    Bun.sleepSync(CONNECT_MS);
    listeners.renew(second);
    const names = await Promise.all(
      clients.map(async (client) => {
        const text = await new Response(client.stdout).text();
        const errors = await new Response(client.stderr).text();
        return /subject=CN = (\w+)/.exec(text)?.[1] ?? `refused: ${errors}`;
      }),
    );
    for (const name of names) expect(["first", "second"]).toContain(name);
    const late = Bun.spawn(["openssl", "s_client", "-connect", `127.0.0.1:${port}`, "-CAfile", ca.cert], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
    });
    const text = await new Response(late.stdout).text();
    if (native !== null) expect(text).toContain("subject=CN = second");
    listeners.stop();
  });
});
