/** A server that answers commands with what a test says: for facts that no server here has, such as modules or a newer version. */
import type { Socket, TCPSocketListener } from "bun";

/** By the words of a command with one space between them, or the beginning of them; the longest that fits counts. */
export type Replies = Readonly<Record<string, string>>;

interface State {
  text: string;
}

export class FakeServer {
  private constructor(
    private readonly listener: TCPSocketListener<State>,
    readonly address: string,
  ) {}

  /** A reply that begins with *, $, : or - is sent as it is, and other text as a bulk string. Without a reply: an error. */
  static start(replies: Replies): FakeServer {
    const listener = Bun.listen<State>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => {
          socket.data = { text: "" };
        },
        data: (socket, bytes) => answer(socket, bytes.toString("latin1"), replies),
      },
    });
    return new FakeServer(listener, `127.0.0.1:${listener.port}`);
  }

  stop(): void {
    this.listener.stop(true);
  }
}

function answer(socket: Socket<State>, bytes: string, replies: Replies): void {
  socket.data.text += bytes;
  for (let words = takeCommand(socket.data); words !== null; words = takeCommand(socket.data))
    socket.write(Buffer.from(replyTo(words.join(" "), replies), "latin1"));
}

/** The next complete command, taken from the text. */
function takeCommand(state: State): string[] | null {
  const head = /^\*(\d+)\r\n/.exec(state.text);
  if (head === null) return null;
  const words: string[] = [];
  let at = head[0].length;
  for (let i = 0; i < Number(head[1]); i++) {
    const size = /^\$(\d+)\r\n/.exec(state.text.slice(at));
    if (size === null) return null;
    const start = at + size[0].length;
    at = start + Number(size[1]) + 2;
    if (at > state.text.length) return null;
    words.push(state.text.slice(start, at - 2));
  }
  state.text = state.text.slice(at);
  return words;
}

function replyTo(command: string, replies: Replies): string {
  const [name] = Object.keys(replies)
    .filter((each) => command === each || command.startsWith(`${each} `))
    .sort((a, b) => b.length - a.length);
  if (name === undefined)
    return command === "PING" ? "+PONG\r\n" : `-ERR unknown command '${command.split(" ")[0]}'\r\n`;
  const reply = replies[name]!;
  return /^[*$:-]/.test(reply) ? reply : `$${Buffer.byteLength(reply, "latin1")}\r\n${reply}\r\n`;
}
