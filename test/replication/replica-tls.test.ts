/**
 * Goal:   the link to the primary can be TLS: both show their certificates, and one of another authority is refused.
 * Method: redis-server with a TLS port that wants certificates of its clients, and a Ferrite with certificates of the same
 *         authority, and of another one.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Certificates } from "../support/certificates.ts";
import { expectSameData, startPrimaryRedis, startReplicaFerrite } from "../support/replicas.ts";
import { eventually, info, linkUp } from "../support/replication.ts";
import { ask, type RespClient } from "../support/resp.ts";
import { freePort, requireRedis, type Server } from "../support/servers.ts";

const START_MS = 180_000;

describe.skipIf(!requireRedis())("a link over TLS", () => {
  let made: Certificates;
  let redis: Server;
  let ferrite: Server;
  let primary: RespClient;
  let replica: RespClient;
  let port: number;
  let own: Record<string, string>;
  let foreign: Record<string, string>;
  beforeAll(async () => {
    made = new Certificates();
    const authority = made.authority("authority");
    const other = made.authority("other");
    const settingsOf = (name: string, by: typeof authority): Record<string, string> => {
      // A replica is told an address, which the certificate need not have.
      const { cert, key } = made.signed(name, by, 90, name, "DNS:elsewhere.example");
      return { "tls-cert-file": cert, "tls-key-file": key, "tls-ca-cert-file": by.cert };
    };
    port = await freePort();
    redis = await startPrimaryRedis({ settings: { "tls-port": String(port), ...settingsOf("primary", authority) } });
    own = settingsOf("replica", authority);
    foreign = settingsOf("stranger", other);
    ferrite = await startReplicaFerrite({ settings: { ...own, "tls-replication": "yes" } });
    primary = await redis.connect();
    replica = await ferrite.connect();
  }, START_MS);
  afterAll(async () => {
    await Promise.all([redis?.stop(), ferrite?.stop()]);
    made.remove();
  });

  test(
    "synchronizes, and follows",
    async () => {
      await ask(primary, "SET", "a", "v".repeat(300_000));
      expect(await ask(replica, "REPLICAOF", "127.0.0.1", port)).toBe("+OK");
      await linkUp(replica);
      for (let n = 0; n < 200; n++) await ask(primary, "RPUSH", "list", "x".repeat(n));
      await expectSameData(primary, replica);
    },
    START_MS,
  );

  test(
    "does not trust a primary of another authority",
    async () => {
      const pairs = Object.entries(foreign).flat();
      expect(await ask(replica, "CONFIG", "SET", ...pairs)).toBe("+OK");
      await ask(primary, "CLIENT", "KILL", "TYPE", "replica");
      await eventually("it is refused", async () => /TLS: \w+/.test(ferrite.log()));
      expect(await info(replica, "master_link_status")).toBe("down");
      expect(await ask(replica, "CONFIG", "SET", ...Object.entries(own).flat())).toBe("+OK");
      await linkUp(replica);
      await expectSameData(primary, replica);
    },
    START_MS,
  );

  test(
    "without certificates the reason is logged",
    async () => {
      const plain = await startReplicaFerrite({ settings: { "tls-replication": "yes" } });
      const client = await plain.connect();
      await ask(client, "REPLICAOF", "127.0.0.1", port);
      await eventually("the reason", async () => plain.log().includes("TLS: No tls-cert-file configured!"));
      expect(await ask(client, "CONFIG", "SET", "tls-replication", "no")).toBe("+OK");
      expect(await ask(client, "CONFIG", "SET", "tls-replication", "yes")).toContain(
        "Unable to update TLS configuration",
      );
      client.close();
      await plain.stop();
    },
    START_MS,
  );
});
