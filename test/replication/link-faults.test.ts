/**
 * Goal:   nothing that a primary sends costs a replica its data, unless it is a whole and good file; and whatever the primary
 *         does wrong, the replica comes again.
 * Method: a scripted primary in this process, which counts the attempts and sends files that are torn, damaged or of another
 *         server, wrong answers, and streams that are none.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Socket, TCPSocketListener } from "bun";
import { encodeRequest } from "../../src/replication/handshake.ts";
import { rdbOf, rdbText } from "../support/rdb.ts";
import { startReplicaFerrite } from "../support/replicas.ts";
import { eventually, info } from "../support/replication.ts";
import { ask, type RespClient, ReplyParser, show } from "../support/resp.ts";
import type { Server } from "../support/servers.ts";

const START_MS = 120_000;
const ID = "0123456789abcdef0123456789abcdef01234567";
const MARK = "m".repeat(40);

/** A file with one string. */
function fileWith(key: string, value: string, ...before: (readonly number[])[]): Buffer {
  return rdbOf(10, ...before, [0], rdbText(key), rdbText(value));
}

/** What the primary does with a connection: `psync` has come. */
type Script = (socket: Socket<State>, psync: string) => void;
interface State {
  parser: ReplyParser;
  /** Commands behind PSYNC. */
  heard: string[];
}

describe("faults of the link", () => {
  let listener: TCPSocketListener<State>;
  let ferrite: Server;
  let directory: string;
  let replica: RespClient;
  let script: Script = () => {};
  let attempts = 0;
  const connections: Socket<State>[] = [];

  function received(socket: Socket<State>, bytes: Buffer): void {
    const { parser, heard } = socket.data;
    parser.push(bytes);
    for (let request = parser.take(); request !== null; request = parser.take()) {
      const words =
        request.type === "array" ? request.value.map((word) => ("value" in word ? String(word.value) : "")) : [];
      if (words[0] === "PING") socket.write("+PONG\r\n");
      else if (words[0] === "REPLCONF" && words[1] !== "ACK") socket.write("+OK\r\n");
      else if (words[0] === "PSYNC") {
        attempts++;
        script(socket, words.slice(1).join(" "));
      } else heard.push(words.join(" "));
    }
  }

  beforeAll(async () => {
    listener = Bun.listen<State>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => {
          socket.data = { parser: new ReplyParser(), heard: [] };
          connections.push(socket);
        },
        data: (socket, bytes) => received(socket, Buffer.from(bytes)),
      },
    });
    directory = mkdtempSync(join(tmpdir(), "ferrite-link-"));
    const config = join(directory, "ferrite.toml");
    writeFileSync(config, '[server.rename_commands]\nFLUSHALL = ""\nSET = "PUT"\n');
    ferrite = await startReplicaFerrite({ args: ["--config", config] });
    replica = await ferrite.connect();
  }, START_MS);
  afterAll(async () => {
    await ferrite.stop();
    listener.stop(true);
    rmSync(directory, { recursive: true, force: true });
  });
  beforeEach(async () => {
    await ask(replica, "REPLICAOF", "NO", "ONE");
    await ask(replica, "FLUSHDB");
    await ask(replica, "PUT", "old", "data");
    attempts = 0;
  });

  const follow = () => ask(replica, "REPLICAOF", "127.0.0.1", listener.port);

  /** The replica tries a second time, and has its old data. */
  async function expectOldData(reason: RegExp): Promise<void> {
    await eventually("a second attempt", async () => attempts >= 2);
    expect(await ask(replica, "GET", "old")).toBe('"data"');
    expect(await info(replica, "master_link_status")).toBe("down");
    await eventually("a line in the log", () => reason.test(ferrite.log()));
    expect(readdirSync(ferrite.dataDir).filter((name) => name.startsWith("temp-sync")).length).toBeLessThanOrEqual(1);
  }

  const good = fileWith("new", "data");
  const damaged = Buffer.from(good);
  damaged[damaged.length - 12]! ^= 1;

  test.each<[string, Buffer, RegExp]>([
    ["with a wrong byte", damaged, /wrong checksum/],
    ["of an unknown version", Buffer.from("REDIS0099\xff", "latin1"), /version 99 is not known/],
    ["that is none", Buffer.from("<html>not an RDB file</html>"), /wrong signature/],
    ["with a database that is not there", fileWith("new", "data", [254, 40]), /database 40: this server is configured/],
  ])(
    "a file %s does not replace the data",
    async (_what, file, reason) => {
      script = (socket) => {
        socket.write(`+FULLRESYNC ${ID} 100\r\n$${file.length}\r\n`);
        socket.write(file);
      };
      expect(await follow()).toBe("+OK");
      await expectOldData(reason);
    },
    START_MS,
  );

  test.each<[string, string]>([
    ["counted", `$${good.length}\r\n`],
    ["marked", `$EOF:${MARK}\r\n`],
  ])(
    "a file that is torn does not replace the data (%s)",
    async (_form, head) => {
      script = (socket) => {
        socket.write(`+FULLRESYNC ${ID} 100\r\n${head}`);
        socket.write(good.subarray(0, good.length - 3));
        socket.flush();
        setTimeout(() => socket.end(), 50);
      };
      await follow();
      await expectOldData(/the primary has closed the connection/);
    },
    START_MS,
  );

  test.each<[string, string, RegExp]>([
    [
      "an abort",
      `+FULLRESYNC ${ID} 100\r\n-ERR the disk is full\r\n`,
      /aborted the synchronization: -ERR the disk is full/,
    ],
    ["an error", "-ERR no\r\n", /does not serve PSYNC: '-ERR no'/],
    ["a promise for later", "-NOMASTERLINK Can't SYNC\r\n", /Failed to connect to primary: -NOMASTERLINK/],
  ])(
    "%s in answer to PSYNC is tried again",
    async (_what, answer, reason) => {
      script = (socket) => void socket.write(answer);
      await follow();
      await expectOldData(reason);
    },
    START_MS,
  );

  test(
    "a good file replaces the data, the stream follows, and the offset counts its units",
    async () => {
      const psyncs: string[] = [];
      script = (socket, psync) => {
        psyncs.push(psync);
        if (psyncs.length > 1) return void socket.write("+CONTINUE\r\n");
        socket.write(`\n\n+FULLRESYNC ${ID} 100\r\n`);
        socket.write(`\n\n$EOF:${MARK}\r\n`);
        socket.write(Buffer.concat([good, Buffer.from(MARK)]));
      };
      await follow();
      await eventually("the data is there", async () => (await ask(replica, "GET", "new")) === '"data"');
      expect(await ask(replica, "EXISTS", "old")).toBe(":0");
      const socket = connections.at(-1)!;
      await eventually("the first acknowledgement", async () => socket.data.heard.includes("REPLCONF ACK 100"));
      const unit = encodeRequest(["SET", "a", "1"]);
      const question = encodeRequest(["REPLCONF", "GETACK", "*"]);
      const half = encodeRequest(["APPEND", "a", "never complete"]).subarray(0, 20);
      socket.write(Buffer.concat([unit, question, encodeRequest(["MULTI"]), encodeRequest(["SET", "b", "1"]), half]));
      // The offset of GETACK is that before its own bytes.
      await eventually("it is acknowledged", async () =>
        socket.data.heard.includes(`REPLCONF ACK ${100 + unit.length}`),
      );
      expect(await ask(replica, "MGET", "a", "b")).toBe('*["1", null$]');
      socket.terminate();
      // It continues behind the last whole unit.
      const next = 100 + unit.length + question.length + 1;
      await eventually("it comes again", async () => psyncs.length > 1);
      expect(psyncs[1]).toBe(`${ID} ${next}`);
      await eventually("the link is up", async () => (await info(replica, "master_link_status")) === "up");
      connections.at(-1)!.write(encodeRequest(["SET", "b", "2"]));
      await eventually("the stream continues", async () => (await ask(replica, "GET", "b")) === '"2"');
    },
    START_MS,
  );

  test(
    "a stream that is none: the link is made anew, with the whole data",
    async () => {
      const psyncs: string[] = [];
      script = (socket, psync) => {
        psyncs.push(psync);
        socket.write(`+FULLRESYNC ${ID} 100\r\n$${good.length}\r\n`);
        socket.write(good);
        if (psyncs.length === 1) socket.write("+not a command\r\n");
      };
      await follow();
      await eventually("a second synchronization", async () => psyncs.length >= 2);
      expect(psyncs[1]).toBe("? -1");
      await eventually("a line in the log", () => ferrite.log().includes("what the primary sends is no stream"));
      await eventually("the link is up", async () => (await info(replica, "master_link_status")) === "up");
    },
    START_MS,
  );

  test(
    "commands of the primary have their own names, whatever clients call them",
    async () => {
      script = (socket) => {
        socket.write(`+FULLRESYNC ${ID} 100\r\n$${good.length}\r\n`);
        socket.write(Buffer.concat([good, encodeRequest(["FLUSHALL"]), encodeRequest(["SET", "after", "1"])]));
      };
      await follow();
      await eventually("the stream continues", async () => (await ask(replica, "GET", "after")) === '"1"');
      expect(await ask(replica, "EXISTS", "new")).toBe(":0");
      expect(await ask(replica, "FLUSHALL")).toMatch(/^-ERR unknown command/);
    },
    START_MS,
  );

  test(
    "an error that a command of the primary replies is loud",
    async () => {
      script = (socket) => {
        socket.write(`+FULLRESYNC ${ID} 100\r\n$${good.length}\r\n`);
        socket.write(Buffer.concat([good, encodeRequest(["LPUSH", "new", "x"]), encodeRequest(["SET", "after", "1"])]));
      };
      await follow();
      await eventually("the stream continues", async () => (await ask(replica, "GET", "after")) === '"1"');
      const line = "== CRITICAL == This replica is sending an error to its master: 'WRONGTYPE";
      await eventually("a line in the log", () => ferrite.log().includes(line));
      expect(await info(replica, "unexpected_error_replies", "stats")).toBe("1");
    },
    START_MS,
  );

  test(
    "silence is given up after repl-timeout",
    async () => {
      await ask(replica, "CONFIG", "SET", "repl-timeout", "1");
      script = () => {};
      await follow();
      await eventually("a second attempt", async () => attempts >= 2);
      await eventually("a line in the log", () => /silent for \d+ s/.test(ferrite.log()));
      await ask(replica, "CONFIG", "SET", "repl-timeout", "60");
    },
    START_MS,
  );

  test(
    "a primary that does not know PSYNC is asked by SYNC, which has no offset and no acknowledgements",
    async () => {
      script = (socket) => {
        socket.write(`-ERR unknown command 'PSYNC'\r\n$${good.length}\r\n`);
        socket.write(good);
        socket.write(encodeRequest(["SELECT", "0"]));
        socket.write(encodeRequest(["SET", "streamed", "1"]));
        socket.write(encodeRequest(["REPLCONF", "GETACK", "*"]));
        socket.write(encodeRequest(["SET", "streamed", "2"]));
      };
      await follow();
      await eventually("the stream", async () => (await ask(replica, "GET", "streamed")) === '"2"');
      expect(await ask(replica, "GET", "new")).toBe('"data"');
      expect(connections.at(-1)!.data.heard).toEqual(["SYNC"]);
      // The next link begins with the data set again.
      let asked = "";
      const { script: again } = { script };
      script = (socket, psync) => {
        asked = psync;
        again(socket, psync);
      };
      connections.at(-1)!.end();
      await eventually("another link", () => asked !== "");
      expect(asked).toBe("? -1");
    },
    START_MS,
  );

  test(
    "the link begins at the address of repl_bind, and at none that is not this machine's",
    async () => {
      script = () => {};
      for (const [address, reason] of [
        ["127.0.0.5", ""],
        ["203.0.113.9", "Failed to connect to primary"],
      ] as const) {
        const has = () => connections.some(({ remoteAddress }) => remoteAddress === address);
        const other = await startReplicaFerrite({ settings: { "replication.repl_bind": address } });
        try {
          const client = await other.connect();
          expect(await ask(client, "REPLICAOF", "127.0.0.1", listener.port)).toBe("+OK");
          if (reason === "") await eventually("it has connected", has);
          else await eventually("a line in the log", () => other.log().includes(reason));
          expect(has()).toBe(reason === "");
        } finally {
          await other.kill();
        }
      }
    },
    START_MS,
  );

  test(
    "CLIENT LIST names the primary's client, and the announced port is told",
    async () => {
      await ask(replica, "CONFIG", "SET", "replica-announce-port", "7777");
      const told: string[] = [];
      script = (socket) => {
        socket.write(`+FULLRESYNC ${ID} 100\r\n$${good.length}\r\n`);
        socket.write(good);
      };
      const before = connections.length;
      await follow();
      await eventually("the link is up", async () => (await info(replica, "master_link_status")) === "up");
      told.push(show(await replica.command("CLIENT", "LIST", "TYPE", "master")));
      expect(told[0]).toContain(`addr=127.0.0.1:${listener.port} `);
      expect(connections.length).toBe(before + 1);
      await ask(replica, "CONFIG", "SET", "replica-announce-port", "0");
    },
    START_MS,
  );
});
