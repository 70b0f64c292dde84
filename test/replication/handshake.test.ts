/**
 * Goal:   what a replica says to its primary before the stream, in the order that servers since Redis 4 expect, and what it
 *         makes of every answer.
 * Method: the handshake without a socket. Answers are handed over whole, and byte by byte.
 */
import { describe, expect, test } from "bun:test";
import { encodeRequest, Handshake, type HandshakeEnd, type ReplicaOffer } from "../../src/replication/handshake.ts";

const ID = "0123456789abcdef0123456789abcdef01234567";
const OFFER: ReplicaOffer = {
  user: "",
  password: "",
  listeningPort: 7000,
  announcedAddress: "",
  replId: "?",
  offset: -1,
  handsOver: false,
};

/** Runs a handshake against fixed answers. Returns its requests as words, its end, and the bytes that it left. */
function shake(offer: Partial<ReplicaOffer>, answers: readonly string[], inBytes = false) {
  const sent: string[] = [];
  const handshake = new Handshake({ ...OFFER, ...offer }, (bytes) => {
    sent.push(
      bytes
        .toString()
        .replace(/[*$]\d+\r\n/g, "")
        .trim()
        .replaceAll("\r\n", " "),
    );
  });
  handshake.begin();
  let left = 0;
  for (const answer of answers) {
    const bytes = Buffer.from(answer);
    if (inBytes) for (const byte of bytes) left += 1 - handshake.receive(Buffer.of(byte));
    else left += bytes.length - handshake.receive(bytes);
  }
  return { sent, left, end: handshake.end, warnings: handshake.warnings, hasAskedSync: handshake.hasAskedSync };
}

describe("the handshake", () => {
  test("its steps are those of a replica of Redis, one after the other", () => {
    const full = ["+PONG\r\n", "+OK\r\n", "+OK\r\n", `+FULLRESYNC ${ID} 42\r\n`];
    const { sent, end, warnings } = shake({}, full);
    expect(sent).toEqual(["PING", "REPLCONF listening-port 7000", "REPLCONF capa eof capa psync2", "PSYNC ? -1"]);
    expect(end).toEqual({ kind: "full", replId: ID, offset: 42 });
    expect(warnings).toEqual([]);
    expect(shake({}, full, true).end).toEqual(end);
  });

  test("with a password, an announced address and a history", () => {
    const offer = { user: "repl", password: "secret", announcedAddress: "10.1.2.3", replId: ID, offset: 43 };
    const { sent, end } = shake(offer, [
      "-NOAUTH please\r\n",
      "+OK\r\n",
      "+OK\r\n",
      "+OK\r\n",
      "+OK\r\n",
      "+CONTINUE\r\n",
    ]);
    expect(sent.slice(1)).toEqual([
      "AUTH repl secret",
      "REPLCONF listening-port 7000",
      "REPLCONF ip-address 10.1.2.3",
      "REPLCONF capa eof capa psync2",
      `PSYNC ${ID} 43`,
    ]);
    expect(end).toEqual({ kind: "continue", replId: "" });
    expect(shake({ password: "secret" }, ["+PONG\r\n"]).sent[1]).toBe("AUTH secret");
  });

  test("a replica that is to take over is told so, and only PSYNC's answer counts for that", () => {
    const before = ["+PONG\r\n", "+OK\r\n", "+OK\r\n"];
    const offer = { replId: ID, offset: 43, handsOver: true };
    expect(shake(offer, before).sent.at(-1)).toBe(`PSYNC ${ID} 43 FAILOVER`);
    expect(shake(offer, [...before, "-ERR no\r\n"]).hasAskedSync).toBe(true);
    expect(shake(offer, ["-ERR no\r\n"]).hasAskedSync).toBe(false);
  });

  test("nothing that follows the answer is taken, and empty lines are waited over", () => {
    const answers = ["+PONG\r\n", "+OK\r\n", "+OK\r\n", `\n\r\n+CONTINUE ${ID}\r\n*1\r\n$4\r\nPING\r\n`];
    const { end, left } = shake({}, answers);
    expect(end).toEqual({ kind: "continue", replId: ID });
    expect(left).toBe("*1\r\n$4\r\nPING\r\n".length);
  });

  test("an error to REPLCONF is passed over, one to PING or AUTH ends the handshake", () => {
    const { warnings, end } = shake({}, ["+PONG\r\n", "-ERR unknown\r\n", "+OK\r\n", `+FULLRESYNC ${ID} 0\r\n`]);
    expect(warnings).toEqual(["REPLCONF listening-port: -ERR unknown"]);
    expect(end?.kind).toBe("full");
    expect(shake({}, ["-MISCONF no\r\n"]).end?.kind).toBe("failed");
    const refused = shake({ password: "x" }, ["-NOAUTH\r\n", "-WRONGPASS no\r\n"]);
    expect(refused.end).toEqual({ kind: "failed", reason: "unable to AUTH to the primary: -WRONGPASS no" });
    expect(refused.sent).toHaveLength(2);
  });

  test.each<[string, HandshakeEnd["kind"]]>([
    ["-NOMASTERLINK Can't SYNC\r\n", "later"],
    ["-LOADING wait\r\n", "later"],
    ["-ERR unknown command 'PSYNC'\r\n", "full"],
    ["-ERR something else\r\n", "failed"],
    ["+FULLRESYNC short 0\r\n", "failed"],
    [`+FULLRESYNC ${ID} x\r\n`, "failed"],
    ["+CONTINUE short\r\n", "failed"],
    ["+DUALCHANNELSYNC\r\n", "failed"],
  ])("%p to PSYNC is %s", (answer, kind) => {
    expect(shake({}, ["+PONG\r\n", "+OK\r\n", "+OK\r\n", answer]).end?.kind).toBe(kind);
  });

  test("a primary that does not know PSYNC is asked by SYNC, unless it is to take over", () => {
    const answers = ["+PONG\r\n", "+OK\r\n", "+OK\r\n", "-ERR unknown command 'PSYNC'\r\n$3\r\n"];
    const old = shake({}, answers);
    expect([old.sent.at(-1), old.left]).toEqual(["SYNC", 4]);
    expect(old.end).toEqual({ kind: "full", replId: "", offset: 0 });
    expect(shake({ handsOver: true }, answers).end?.kind).toBe("failed");
  });

  test("a line without an end is given up", () => {
    expect(shake({}, ["+".repeat(5000)]).end?.kind).toBe("failed");
  });

  test("arguments are counted in bytes", () => {
    expect(encodeRequest(["AUTH", "é"]).toString()).toBe("*2\r\n$4\r\nAUTH\r\n$2\r\né\r\n");
  });
});
