/**
 * A primary that is none: it answers a replica's handshake with an empty data set and then sends SETs over random keys, as fast as
 * they are read. A process of its own, so that it does not slow the bench's.
 */
import { ROOT } from "../test/support/servers.ts";

/** Commands of the block that is sent again and again. */
const BLOCK = 200_000;
const KEY_DIGITS = 12;
/** An RDB file of version 10 without data, whose checksum 0 means that it has none. */
const EMPTY = Buffer.concat([Buffer.from("REDIS0010"), Buffer.of(0xff), Buffer.alloc(8)]);
const PIECE_BYTES = 1 << 20;

export class StreamSource {
  private constructor(
    private readonly child: Bun.Subprocess,
    readonly port: number,
    /** All commands have this length. */
    readonly commandBytes: number,
  ) {}

  static async start(valueBytes: number, keys: number): Promise<StreamSource> {
    const child = Bun.spawn([process.execPath, `${ROOT}/bench/stream-source.ts`, `${valueBytes}`, `${keys}`], {
      stdout: "pipe",
      stderr: "inherit",
    });
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    return new StreamSource(child, Number(new TextDecoder().decode(value)), setOf(0, valueBytes).length);
  }
  stop(): void {
    this.child.kill("SIGKILL");
  }
}

function setOf(key: number, valueBytes: number): string {
  const name = `key:${String(key).padStart(KEY_DIGITS, "0")}`;
  return `*3\r\n$3\r\nSET\r\n$${name.length}\r\n${name}\r\n$${valueBytes}\r\n${"v".repeat(valueBytes)}\r\n`;
}

interface Link {
  sent: number;
  isOn: boolean;
}

function serve(valueBytes: number, keys: number): void {
  const commands: string[] = [];
  for (let n = 0; n < BLOCK; n++) commands.push(setOf(Math.floor(Math.random() * keys), valueBytes));
  const block = Buffer.from(commands.join(""));
  const pump = (socket: Bun.Socket<Link>): void => {
    const link = socket.data;
    for (let taken = 1; link.isOn && taken > 0; link.sent += Math.max(0, taken)) {
      const at = link.sent % block.length;
      taken = socket.write(block.subarray(at, Math.min(block.length, at + PIECE_BYTES)));
    }
  };
  const server = Bun.listen<Link>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { sent: 0, isOn: false };
      },
      data(socket, bytes) {
        const text = bytes.toString("latin1");
        if (text.includes("PSYNC")) {
          socket.write(`+FULLRESYNC ${"a".repeat(40)} 0\r\n$${EMPTY.length}\r\n`);
          socket.write(EMPTY);
        } else if (text.includes("\r\nACK\r\n")) {
          const began = socket.data.isOn;
          socket.data.isOn = true;
          if (!began) pump(socket);
        } else if (text.includes("PING")) {
          socket.write("+PONG\r\n");
        } else {
          for (const _ of text.matchAll(/REPLCONF/g)) socket.write("+OK\r\n");
        }
      },
      drain: pump,
    },
  });
  process.stdout.write(`${server.port}\n`);
}

if (import.meta.main) serve(Number(process.argv[2]), Number(process.argv[3]));
