/**
 * Goal:   TLS serves what plain connections are served; a client without a good certificate is refused when certificates are
 *         asked for; certificates are renewed without a refused connection; settings that cannot work are refused in words.
 * Method: a real server and real handshakes, with certificates that openssl makes. Where Redis has the feature, the same test
 *         runs against redis-server, which proves the test.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { Certificates, requireOpenssl, type Signed } from "../support/certificates.ts";
import { RespClient, show, within } from "../support/resp.ts";
import {
  ferriteCommand,
  freePort,
  logged,
  requireRedis,
  type Server,
  type ServerKind,
  startFerrite,
  startRedis,
} from "../support/servers.ts";

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

/** The reply to PING, or "refused". */
async function tryPing(port: number, tls: ConnectionOptions): Promise<string> {
  let client: RespClient | null = null;
  try {
    client = await connect(port, tls);
    return show(await within(client.command("PING"), HANG_MS, "PING"));
  } catch {
    return "refused";
  } finally {
    client?.close();
  }
}

/** The client that `attempt` connects, as soon as it does. */
async function untilListening(attempt: () => Promise<RespClient>): Promise<RespClient> {
  for (;;) {
    const client = await attempt().catch(() => null);
    if (client !== null) return client;
    await Bun.sleep(20);
  }
}

async function untilLogged(server: Server, words: string, times: number): Promise<void> {
  while (server.log().split(words).length <= times) await Bun.sleep(5);
}

async function infoField(client: RespClient, section: string, name: string): Promise<string> {
  const reply = await client.command("INFO", section);
  return new RegExp(`^${name}:(.*)\r$`, "m").exec("value" in reply ? String(reply.value) : "")?.[1] ?? "";
}

/** Id of the last of at least `count` connections of the port, but for the one with the id `but`. */
async function idOf(admin: RespClient, port: number, count: number, but = ""): Promise<string> {
  for (;;) {
    const reply = await admin.command("CLIENT", "LIST");
    const text = "value" in reply ? String(reply.value) : "";
    const lines = text
      .split("\n")
      .filter((line) => line.includes(`laddr=127.0.0.1:${port} `) && !line.startsWith(`id=${but} `));
    if (lines.length >= count) return /^id=(\d+)/.exec(lines.at(-1)!)![1]!;
    await Bun.sleep(5);
  }
}

function connect(port: number, tls: ConnectionOptions): Promise<RespClient> {
  return within(RespClient.connect({ port, tls }), HANG_MS, "handshake");
}

describe.if(requireOpenssl())("TLS", () => {
  const ca = files.authority("ca");
  const trust = { ca: readFileSync(ca.cert) };
  const rogueCa = files.authority("rogue-ca");
  const first = files.signed("server-1", ca);
  const second = files.signed("server-2", ca);
  const good = files.signed("good", ca);
  const rogue = files.signed("rogue", rogueCa);
  const expired = files.signed("expired", ca, -1);
  const brief = files.signed("brief", ca, 3);
  const encrypted = files.encryptKey(first, "secret");
  const directory = files.directoryOf("authorities", ca.cert, first.key);
  const hashed = files.hashedDirectoryOf("hashed", ca.cert);
  const shown = ({ cert, key }: Signed): ConnectionOptions => ({
    ...trust,
    cert: readFileSync(cert),
    key: readFileSync(key),
  });
  /** The name in the certificate that a new connection is shown. */
  const nameServed = (port: number): Promise<string> =>
    new Promise((done, fail) => {
      const socket = connectTls({ port, host: "127.0.0.1", ...trust }, () => {
        done(String(socket.getPeerCertificate().subject.CN));
        socket.end();
      });
      socket.once("error", fail);
    });
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

  test.each(KINDS)("%s: TLS alone, with port 0", async (kind) => {
    const port = await freePort();
    const start = kind === "redis" ? startRedis : startFerrite;
    const settings = { "tls-port": String(port), ...open };
    const server = await start({ port: 0, settings, waitForReply: false });
    try {
      const client = await untilListening(() => connect(port, trust));
      expect(show(await client.command("PING"))).toBe("+PONG");
      expect(await infoField(client, "server", "tcp_port")).toBe(String(port));
      expect(show(await client.command("CONFIG", "GET", "tls-port"))).toBe(`*["tls-port", "${port}"]`);
      client.close();
    } finally {
      await server.stop();
    }
  });

  test.each(KINDS)(
    "%s: only clients with a good certificate are served when certificates are asked for",
    async (kind) => {
      await onEach(kind, { ...open, "tls-ca-cert-file": ca.cert }, async ({ server, port }) => {
        const admin = await server.connect();
        const clients: [string, ConnectionOptions][] = [
          ["none", trust],
          ["good", shown(good)],
          ["rogue", shown(rogue)],
          ["expired", shown(expired)],
          ["good, TLS 1.2", { ...shown(good), maxVersion: "TLSv1.2" }],
          ["rogue, TLS 1.2", { ...shown(rogue), maxVersion: "TLSv1.2" }],
        ];
        const served = async (mode: string): Promise<string[]> => {
          expect(show(await admin.command("CONFIG", "SET", "tls-auth-clients", mode))).toBe("+OK");
          const names: string[] = [];
          for (const [name, options] of clients) if ((await tryPing(port, options)) === "+PONG") names.push(name);
          return names;
        };
        expect(await served("yes")).toEqual(["good", "good, TLS 1.2"]);
        expect(await served("optional")).toEqual(["none", "good", "good, TLS 1.2"]);
        expect(await served("no")).toEqual(clients.map(([name]) => name));
        admin.close();
      });
    },
  );

  test.each(KINDS)("%s: only the versions and ciphers that are configured are offered", async (kind) => {
    await onEach(kind, open, async ({ server, port }) => {
      const admin = await server.connect();
      const set = async (name: string, value: string) =>
        expect(show(await admin.command("CONFIG", "SET", name, value))).toBe("+OK");
      const versions = async (): Promise<string> => {
        const old = await tryPing(port, { ...trust, maxVersion: "TLSv1.2" });
        const fresh = await tryPing(port, { ...trust, minVersion: "TLSv1.3" });
        return `${old === "+PONG" ? "1.2" : ""} ${fresh === "+PONG" ? "1.3" : ""}`;
      };
      expect(await versions()).toBe("1.2 1.3");
      await set("tls-protocols", "TLSv1.3");
      expect(await versions()).toBe(" 1.3");
      await set("tls-protocols", "TLSv1.2");
      expect(await versions()).toBe("1.2 ");
      const cipher = { ...trust, maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" } as const;
      expect(await tryPing(port, cipher)).toBe("+PONG");
      await set("tls-ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256");
      expect(await tryPing(port, cipher)).toBe("refused");
      expect(await tryPing(port, { ...cipher, ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" })).toBe("+PONG");
      admin.close();
    });
  });

  test.each(KINDS)("%s: an encrypted key, a directory of authorities", async (kind) => {
    const settings = {
      "tls-cert-file": first.cert,
      "tls-key-file": encrypted,
      "tls-key-file-pass": "secret",
      "tls-ca-cert-dir": kind === "redis" ? hashed : directory,
      "tls-auth-clients": "yes",
    };
    await onEach(kind, settings, async ({ port }) => {
      expect(await tryPing(port, shown(good))).toBe("+PONG");
      expect(await tryPing(port, shown(rogue))).toBe("refused");
    });
  });

  test.each(KINDS)("%s: settings that cannot work are refused, and change nothing", async (kind) => {
    await onEach(kind, { ...open, "tls-ca-cert-file": ca.cert }, async ({ server, port }) => {
      const admin = await server.connect();
      const wrong: [string, ...string[]][] = [
        ["tls-cert-file", "/does/not/exist"],
        ["tls-cert-file", second.cert],
        ["tls-cert-file", first.key],
        ["tls-key-file", rogue.key],
        ["tls-key-file", encrypted, "tls-key-file-pass", "wrong"],
        ["tls-protocols", "SSLv2"],
        ["tls-ciphers", "NONE-SUCH"],
        ["tls-ciphersuites", "NONE_SUCH"],
        ["tls-ca-cert-file", "/does/not/exist"],
        ["tls-auth-clients", "yes", "tls-ca-cert-file", ""],
      ];
      for (const pairs of wrong) {
        const reply = show(await admin.command("CONFIG", "SET", ...pairs));
        expect(reply).toContain("Unable to update TLS configuration. Check server logs.");
      }
      expect(show(await admin.command("CONFIG", "SET", "tls-auth-clients", "perhaps"))).toContain(
        "argument(s) must be one of the following: no, yes, optional",
      );
      expect(show(await admin.command("CONFIG", "GET", "tls-cert-file"))).toBe(`*["tls-cert-file", "${first.cert}"]`);
      expect(await tryPing(port, trust)).toBe("+PONG");
      admin.close();
    });
  });

  test.each(KINDS)(
    "%s: new certificates are served, by their file or by another, and old connections go on",
    async (kind) => {
      copyFileSync(first.cert, files.path("live.crt"));
      copyFileSync(first.key, files.path("live.key"));
      const live = { "tls-cert-file": files.path("live.crt"), "tls-key-file": files.path("live.key") };
      await onEach(kind, { ...open, ...live }, async ({ server, port }) => {
        const admin = await server.connect();
        const old = await connect(port, trust);
        expect(await nameServed(port)).toBe("server-1");
        copyFileSync(second.cert, live["tls-cert-file"]);
        copyFileSync(second.key, live["tls-key-file"]);
        expect(await nameServed(port)).toBe("server-1");
        // The same value: the file behind it is another one.
        expect(show(await admin.command("CONFIG", "SET", "tls-cert-file", live["tls-cert-file"]))).toBe("+OK");
        expect(await nameServed(port)).toBe("server-2");
        const pair = ["tls-cert-file", first.cert, "tls-key-file", first.key];
        expect(show(await admin.command("CONFIG", "SET", ...pair))).toBe("+OK");
        expect(await nameServed(port)).toBe("server-1");
        expect(show(await old.command("PING"))).toBe("+PONG");
        old.close();
        admin.close();
      });
    },
  );

  test("no connection is refused while certificates are renewed again and again", async () => {
    copyFileSync(first.cert, files.path("storm.crt"));
    copyFileSync(first.key, files.path("storm.key"));
    const live = { "tls-cert-file": files.path("storm.crt"), "tls-key-file": files.path("storm.key") };
    await onEach("ferrite", { ...open, ...live }, async ({ server, port }) => {
      let isOver = false;
      let connections = 0;
      const names = new Set<string>();
      const failures: string[] = [];
      const knock = async () => {
        while (!isOver) {
          try {
            names.add(await nameServed(port));
            connections++;
          } catch (thrown) {
            failures.push(String(thrown));
          }
        }
      };
      const knocking = Array.from({ length: 6 }, knock);
      let renewals = 0;
      for (const signed of [second, first, second, first, second, first, second, first]) {
        copyFileSync(signed.cert, live["tls-cert-file"]);
        copyFileSync(signed.key, live["tls-key-file"]);
        server.signal("SIGHUP");
        renewals++;
        await within(untilLogged(server, "SIGHUP: TLS certificates loaded", renewals), HANG_MS, "the renewal");
        const target = connections + 30;
        while (connections < target && failures.length === 0) await Bun.sleep(5);
      }
      isOver = true;
      await Promise.all(knocking);
      expect(failures).toEqual([]);
      expect([...names].sort()).toEqual(["server-1", "server-2"]);
    });
  });

  test("SIGHUP with files that cannot be used leaves the certificates as they are, and says so", async () => {
    copyFileSync(first.cert, files.path("broken.crt"));
    const live = { ...open, "tls-cert-file": files.path("broken.crt") };
    await onEach("ferrite", live, async ({ server, port }) => {
      writeFileSync(files.path("broken.crt"), "no certificate");
      server.signal("SIGHUP");
      await within(untilLogged(server, "the certificates are unchanged", 1), HANG_MS, "the refusal");
      await logged(server, "no certificate in PEM form");
      expect(await nameServed(port)).toBe("server-1");
    });
  });

  test("without system calls of our own a renewed certificate is served too", async () => {
    const port = await freePort();
    const settings = { "tls-port": String(port), ...open };
    const server = await startFerrite({ settings, env: { FERRITE_FFI: "0" } });
    try {
      const admin = await server.connect();
      const pair = ["tls-cert-file", second.cert, "tls-key-file", second.key];
      expect(show(await admin.command("CONFIG", "SET", ...pair))).toBe("+OK");
      while ((await nameServed(port).catch(() => "")) !== "server-2") await Bun.sleep(20);
      // The old listeners are gone once no connection finds them.
      for (let found = 0; found < 20; found = (await nameServed(port).catch(() => "")) === "server-2" ? found + 1 : 0);
      admin.close();
    } finally {
      await server.stop();
    }
  });

  test.each([
    [
      "a missing certificate",
      { "tls-cert-file": "/does/not/exist" },
      "Failed to load certificate: /does/not/exist: No such file or directory",
    ],
    ["another certificate's key", { "tls-key-file": rogue.key }, "it is not the key of the certificate"],
    ["an encrypted key", { "tls-key-file": encrypted }, "it is encrypted: set tls-key-file-pass"],
    [
      "an encrypted key and a wrong password",
      { "tls-key-file": encrypted, "tls-key-file-pass": "wrong" },
      "tls-key-file-pass is wrong",
    ],
    ["no key", { "tls-key-file": "" }, "server.tls_enabled (--set tls-port) needs server.tls_key_file"],
    ["no authority", { "tls-auth-clients": "yes" }, "there is no authority to verify clients with"],
    ["a suite left out", { "tls-ciphersuites": "TLS_AES_128_GCM_SHA256" }, "TLS 1.3 always offers"],
    ["old versions only", { "tls-protocols": "TLSv1.1" }, "only TLSv1.2 and TLSv1.3 can be offered"],
  ] as const)("a start with %s is refused in words", async (_what, settings, words) => {
    const port = await freePort();
    const all: Record<string, string> = { "tls-port": String(port), ...open, ...settings };
    const server = await startFerrite({ settings: all, waitForReply: false });
    const { code } = await within(server.exited, HANG_MS, "the end");
    await logged(server, words);
    expect(code).toBe(1);
    await server.stop();
  });

  test("a certificate that has expired is served, and said in the log and in INFO", async () => {
    await onEach(
      "ferrite",
      { ...open, "tls-cert-file": expired.cert, "tls-key-file": expired.key },
      async (started) => {
        const { server, port } = started;
        await within(untilLogged(server, "certificate_expired", 1), HANG_MS, "the error");
        await logged(server, /CN=expired has expired 1 day ago.*certificate_expired/);
        expect(await tryPing(port, trust)).toBe("refused");
        const client = await connect(port, { rejectUnauthorized: false });
        expect(Number(await infoField(client, "tls", "tls_server_cert_expires_in_days"))).toBeLessThan(0);
        client.close();
      },
    );
  });

  test("a certificate logs its client in as the user whose name it has", async () => {
    const settings = { ...open, "tls-ca-cert-file": ca.cert, "tls-auth-clients": "optional" };
    await onEach("ferrite", settings, async ({ server, port }) => {
      const admin = await server.connect();
      await admin.command("ACL", "SETUSER", "good", "on", "nopass", "+@read", "+acl|whoami", "~app:*");
      await admin.command("ACL", "SETUSER", "server-1", "off", "+@all", "~*");
      const whoami = async (tls: ConnectionOptions): Promise<string> => {
        const client = await connect(port, tls);
        const reply = show(await client.command("ACL", "WHOAMI"));
        client.close();
        return reply;
      };
      expect(await whoami(shown(good))).toBe('"default"');
      expect(show(await admin.command("CONFIG", "SET", "tls-auth-clients-user", "CN"))).toBe("+OK");
      expect(show(await admin.command("CONFIG", "GET", "tls-auth-clients-user"))).toContain('"CN"');
      expect(await whoami(shown(good))).toBe('"good"');
      const client = await connect(port, shown(good));
      expect(show(await client.command("GET", "app:1"))).toBe("null$");
      expect(show(await client.command("SET", "app:1", "v"))).toStartWith("-NOPERM");
      client.close();
      // No certificate, a user that is off, and a name that is no user's: the default user, as on any connection.
      expect(await whoami(trust)).toBe('"default"');
      expect(await whoami(shown(first))).toBe('"default"');
      expect(await whoami(shown(second))).toBe('"default"');
      await admin.command("ACL", "SETUSER", "default", ">secret", "resetpass", ">secret");
      expect(await whoami(shown(second))).toStartWith("-NOAUTH");
      expect(await whoami(shown(good))).toBe('"good"');
      // A rogue certificate with a user's name is refused before anybody asks for its name.
      expect(await tryPing(port, shown(files.signed("good", rogueCa, 90, "rogue-good")))).toBe("refused");
      admin.close();
    });
  });

  test("doctor judges the files and the dates", async () => {
    const port = await freePort();
    const doctor = async (settings: Record<string, string>): Promise<string> => {
      const all = { "tls-port": String(port), port: String(await freePort()), ...open, ...settings };
      const flags = Object.entries(all).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
      const found = Bun.spawnSync([...ferriteCommand(), "doctor", ...flags], { cwd: files.directory });
      return found.stdout.toString();
    };
    chmodSync(first.key, 0o600);
    const fine = await doctor({ "tls-ca-cert-file": ca.cert });
    expect(fine).toMatch(/\[ok +\] tls: certificate CN=server-1 expires in 89 days \(\d{4}-\d\d-\d\d\)/);
    expect(fine).toMatch(/\[ok +\] tls: certificate authority CN=ca expires in 3649 days/);
    expect(fine).toContain(`127.0.0.1:${port} is free`);
    expect(fine).not.toContain("chmod");
    chmodSync(first.key, 0o644);
    expect(await doctor({})).toContain("every user of this machine (mode 644)");
    const soon = await doctor({ "tls-cert-file": brief.cert, "tls-key-file": brief.key });
    expect(soon).toMatch(/\[warning\] tls: certificate CN=brief expires in 2 days/);
    const over = await doctor({ "tls-cert-file": expired.cert, "tls-key-file": expired.key });
    expect(over).toMatch(/\[error +\] tls: certificate CN=expired has expired 1 day ago/);
    expect(await doctor({ "tls-key-file": rogue.key })).toMatch(/\[error +\] tls: .*not the key of the certificate/);
  });

  test("INFO tells serial and days of the certificates, and is silent without TLS", async () => {
    await onEach("ferrite", { ...open, "tls-ca-cert-file": ca.cert }, async ({ server }) => {
      const client = await server.connect();
      const { serialNumber } = new X509Certificate(readFileSync(first.cert));
      expect(await infoField(client, "tls", "tls_server_cert_serial")).toBe(serialNumber);
      expect(await infoField(client, "tls", "tls_server_cert_expires_in_days")).toBe("89");
      expect(await infoField(client, "everything", "tls_ca_cert_expires_in_days")).toBe("3649");
      client.close();
    });
    const server = await startFerrite();
    const client = await server.connect();
    expect(show(await client.command("INFO", "tls"))).toBe('""');
    client.close();
    await server.stop();
  });

  test("a client that says nothing counts as a client, and is closed when the handshake takes too long", async () => {
    await onEach("ferrite", open, async ({ server, port }) => {
      const admin = await server.connect();
      const silent = await RespClient.connect({ port });
      while (!show(await admin.command("CLIENT", "LIST")).includes(`laddr=127.0.0.1:${port} `)) await Bun.sleep(5);
      const plain = await RespClient.connect({ port });
      plain.write("PING\r\nGET a\r\n");
      await within(plain.closed, HANG_MS, "the end of a plain client");
      expect(await infoField(admin, "tls", "tls_handshake_failures")).toBe("1");
      await within(silent.closed, HANG_MS, "the end of a silent client");
      // The server may hear of the end of its socket later than the client.
      while ((await infoField(admin, "clients", "connected_clients")) !== "1") await Bun.sleep(5);
      admin.close();
    });
  });

  test("a script that runs long leaves TLS connections whole", async () => {
    const settings = { ...open, "busy-reply-threshold": "50" };
    const port = await freePort();
    const server = await startFerrite({ workers: 1, settings: { "tls-port": String(port), ...settings } });
    try {
      const [busy, waiting, plain] = [await connect(port, trust), await connect(port, trust), await server.connect()];
      expect(show(await waiting.command("PING"))).toBe("+PONG");
      const script = busy.command("EVAL", "while true do redis.call('PING') end", "0");
      while (!show(await plain.command("PING")).startsWith("-BUSY")) await Bun.sleep(5);
      const pong = waiting.command("PING");
      expect(show(await plain.command("SCRIPT", "KILL"))).toBe("+OK");
      expect(show(await within(pong, HANG_MS, "PING"))).toBe("+PONG");
      expect(show(await within(script, HANG_MS, "the script"))).toContain("Script killed by user");
      for (const client of [busy, waiting, plain]) {
        expect(show(await client.command("PING"))).toBe("+PONG");
        client.close();
      }
    } finally {
      await server.stop();
    }
  });

  test("slow readers, kills and closes with replies under way leave the server whole", async () => {
    await onEach("ferrite", open, async ({ server, port }) => {
      const admin = await server.connect();
      const long = "y".repeat(4_000_000);
      expect(show(await admin.command("SET", "long", long))).toBe("+OK");
      const slow = await connect(port, trust);
      const slowId = await idOf(admin, port, 1);
      slow.pause();
      const replies = Array.from({ length: 8 }, () => slow.command("GET", "long"));
      while (!show(await admin.command("CLIENT", "LIST")).includes("events=rw")) await Bun.sleep(5);
      for (let round = 0; round < 5; round++) {
        const client = await connect(port, trust);
        client.pause();
        const lost = client.command("GET", "long").catch(() => "lost");
        const id = round % 2 === 0 ? await idOf(admin, port, 1, slowId) : "";
        if (id !== "") expect(show(await admin.command("CLIENT", "KILL", "ID", id))).toBe(":1");
        client.close();
        await within(lost, HANG_MS, "the lost reply");
      }
      slow.resume();
      for (const reply of replies) expect(show(await within(reply, HANG_MS, "GET")).length).toBe(long.length + 2);
      slow.close();
      admin.close();
    });
  });
});
