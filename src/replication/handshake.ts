/**
 * Handshake of a replica with its primary: from the connection to the answer to PSYNC. Bytes in, bytes out; no socket.
 *
 *   PING ─► AUTH ─► REPLCONF listening-port, ip-address, capa ─► PSYNC id offset [FAILOVER] ─► FULLRESYNC │ CONTINUE
 *
 * One command is sent, and its answer awaited, before the next. Every server since Redis 4 speaks this. An error to REPLCONF
 * is noted and passed over, because a primary may know less than we ask for. An error to AUTH ends the handshake.
 *
 * A primary that does not know PSYNC is sent SYNC instead: the data set and the stream, without an id, an offset or acknowledgements.
 *
 * What is announced decides what comes: "capa eof" allows a file without a length in front, "capa psync2" a new id behind
 * CONTINUE. Nothing newer is announced, so nothing newer comes.
 */

/** What a replica says about itself, and the offset it wants to continue at. */
export interface ReplicaOffer {
  /** "" = the default user. */
  readonly user: string;
  /** "" = no AUTH. */
  readonly password: string;
  readonly listeningPort: number;
  /** "" = the address that the primary sees. */
  readonly announcedAddress: string;
  /** The id of the history that the replica has, and the offset of the first byte that it lacks. "?" and -1: it has none. */
  readonly replId: string;
  readonly offset: number;
  /** The other server is a replica, and is to take this one's place as the primary. */
  readonly handsOver: boolean;
}

/** How a handshake has ended. */
export type HandshakeEnd =
  /** A file follows, then the stream from `offset` on. `replId`: "" = by SYNC, nobody knows the history. */
  | { readonly kind: "full"; readonly replId: string; readonly offset: number }
  /** The stream follows. `replId`: the history has this id from now on; "" = the one it had. */
  | { readonly kind: "continue"; readonly replId: string }
  /** The primary cannot serve now. */
  | { readonly kind: "later"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string };

/** Longest line of a primary. */
const LINE_MAX = 4096;
const LF = 10;
const CR = 13;
/** Answers to PING of a server that wants authentication first. */
const WANTS_AUTHENTICATION = ["-NOAUTH", "-NOPERM", "-ERR operation not permitted"];
const UNKNOWN = /^-ERR unknown command/i;
const LATER = ["-NOMASTERLINK", "-LOADING"];

interface Step {
  readonly request: readonly string[];
  /** Returns the end of the handshake, null = the next step follows. */
  readonly answer: (line: string) => HandshakeEnd | null;
}

export class Handshake {
  end: HandshakeEnd | null = null;
  /** Answers that were passed over, for the log. */
  readonly warnings: string[] = [];
  private readonly steps: readonly Step[];
  private step = 0;
  /** PSYNC was sent: the end is the primary's answer to it. */
  get hasAskedSync(): boolean {
    return this.step === this.steps.length - 1;
  }
  private line = "";

  constructor(
    offer: ReplicaOffer,
    private readonly send: (bytes: Buffer) => void,
  ) {
    this.steps = this.stepsOf(offer);
  }

  /** The connection is there. */
  begin(): void {
    this.request();
  }

  /** Takes bytes of the primary up to the end of the handshake. Returns how many of them it has taken. */
  receive(bytes: Uint8Array): number {
    for (let at = 0; at < bytes.length; at++) {
      if (this.end !== null) return at;
      const byte = bytes[at]!;
      if (byte === LF) this.takeLine();
      else if (byte !== CR) this.line += String.fromCharCode(byte);
      if (this.line.length > LINE_MAX) this.end = failed(`an answer of more than ${LINE_MAX} bytes`);
    }
    return bytes.length;
  }

  private takeLine(): void {
    const { line } = this;
    this.line = "";
    // An empty line keeps the connection alive while the primary prepares its answer.
    if (line === "") return;
    this.end = this.steps[this.step]!.answer(line);
    if (this.end !== null) return;
    this.step++;
    this.request();
  }

  private request(): void {
    this.send(encodeRequest(this.steps[this.step]!.request));
  }

  private stepsOf(offer: ReplicaOffer): Step[] {
    const { user, password, listeningPort, announcedAddress, replId, offset, handsOver } = offer;
    const steps: Step[] = [{ request: ["PING"], answer: takePong }];
    if (password !== "") {
      const request = user === "" ? ["AUTH", password] : ["AUTH", user, password];
      steps.push({ request, answer: takeLogin });
    }
    steps.push(this.optional(["REPLCONF", "listening-port", String(listeningPort)]));
    if (announcedAddress !== "") steps.push(this.optional(["REPLCONF", "ip-address", announcedAddress]));
    steps.push(this.optional(["REPLCONF", "capa", "eof", "capa", "psync2"]));
    const request = ["PSYNC", replId, String(offset), ...(handsOver ? ["FAILOVER"] : [])];
    const answer = (line: string): HandshakeEnd =>
      UNKNOWN.test(line) && !handsOver ? this.fallBack(line) : takeSync(line);
    steps.push({ request, answer });
    return steps;
  }

  /** The primary does not know PSYNC. Its answer to SYNC is the file. */
  private fallBack(line: string): HandshakeEnd {
    this.warnings.push(`PSYNC, so it is asked for SYNC: ${line}`);
    this.send(encodeRequest(["SYNC"]));
    return { kind: "full", replId: "", offset: 0 };
  }

  /** A request whose failure does not matter. */
  private optional(request: readonly string[]): Step {
    const answer = (line: string): null => {
      if (line.startsWith("-")) this.warnings.push(`${request.slice(0, 2).join(" ")}: ${line}`);
      return null;
    };
    return { request, answer };
  }
}

/** A request as RESP. */
export function encodeRequest(request: readonly string[]): Buffer {
  const parts = request.map((text) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`);
  return Buffer.from(`*${request.length}\r\n${parts.join("")}`);
}

function failed(reason: string): HandshakeEnd {
  return { kind: "failed", reason };
}

function takePong(line: string): HandshakeEnd | null {
  if (line.startsWith("+") || WANTS_AUTHENTICATION.some((start) => line.startsWith(start))) return null;
  return failed(`error reply to PING from the primary: '${line}'`);
}

function takeLogin(line: string): HandshakeEnd | null {
  return line.startsWith("-") ? failed(`unable to AUTH to the primary: ${line}`) : null;
}

function takeSync(line: string): HandshakeEnd {
  const [word, id = "", offset = ""] = line.split(" ");
  switch (word) {
    case "+FULLRESYNC":
      if (!isReplId(id) || !/^\d{1,16}$/.test(offset))
        return failed(`an answer to PSYNC that cannot be read: '${line}'`);
      return { kind: "full", replId: id, offset: Number(offset) };
    case "+CONTINUE":
      if (id !== "" && !isReplId(id)) return failed(`an answer to PSYNC that cannot be read: '${line}'`);
      return { kind: "continue", replId: id };
    default:
      if (LATER.some((start) => line.startsWith(start))) return { kind: "later", reason: line };
      return failed(`the primary does not serve PSYNC: '${line}'`);
  }
}

function isReplId(text: string): boolean {
  return /^[0-9a-f]{40}$/i.test(text);
}
