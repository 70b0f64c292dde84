/**
 * Goal:   TLS serves what plain connections are served; a client without a good certificate is refused when certificates are
 *         asked for; certificates are renewed without a refused connection; settings that cannot work are refused in words.
 * Method: a real server and real handshakes, with certificates that openssl makes. Where Redis has the feature, the same test
 *         runs against redis-server, which proves the test.
 */
import { afterAll, describe, expect, test } from "bun:test";
import type { ConnectionOptions } from "node:tls";
import { Certificates, requireOpenssl } from "../support/certificates.ts";
import { RespClient, show, within } from "../support/resp.ts";
import { freePort, requireRedis, type Server, type ServerKind, startFerrite, startRedis } from "../support/servers.ts";

const KINDS: ServerKind[] = requireRedis() ? ["redis", "ferrite"] : ["ferrite"];
const HANG_MS = 30_000;

const files = new Certificates();
afterAll(() => files.remove());

/** A server with TLS on a port of its own, beside the plain one. */
interface TlsServer {
  readonly server: Server;
  readonly port: number;
}

async function startTls(kind: ServerKind, settings: Record<string, string>): Promise<TlsServer> {
  const port = await freePort();
  const start = kind === "redis" ? startRedis : startFerrite;
  const server = await start({ settings: { "tls-port": String(port), ...settings } });
  return { server, port };
}

async function onEach(
  kind: ServerKind,
  settings: Record<string, string>,
  body: (server: TlsServer) => Promise<void>,
): Promise<void> {
  const started = await startTls(kind, settings);
  try {
    await body(started);
  } finally {
    await started.server.stop();
  }
}

function connect(port: number, tls: ConnectionOptions): Promise<RespClient> {
  return within(RespClient.connect({ port, tls }), HANG_MS, "handshake");
}

describe.if(requireOpenssl())("TLS", () => {
  const ca = files.authority("ca");
  const first = files.signed("server-1", ca);
  const trust = { ca: files.read("ca.crt") };
  const served = { "tls-cert-file": first.cert, "tls-key-file": first.key };
  const open = { ...served, "tls-auth-clients": "no" };

  test.each(KINDS)("%s: commands over TLS, beside the plain port", async (kind) => {
    await onEach(kind, open, async ({ server, port }) => {
      const client = await connect(port, trust);
      const plain = await server.connect();
      expect(show(await client.command("SET", "key", "value"))).toBe("+OK");
      expect(show(await plain.command("GET", "key"))).toBe('"value"');
      const long = "x".repeat(3_000_000);
      expect(show(await client.command("SET", "long", long))).toBe("+OK");
      expect(show(await client.command("GET", "long"))).toBe(`"${long}"`);
      const many = await client.pipeline(Array.from({ length: 5000 }, (_, i) => ["SET", `k${i}`, String(i)]));
      expect(many.every((reply) => show(reply) === "+OK")).toBe(true);
      expect(show(await client.command("DBSIZE"))).toBe(":5002");
      client.close();
      plain.close();
    });
  });
});
