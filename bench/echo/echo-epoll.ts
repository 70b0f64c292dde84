/** The floor of a request over the epoll transport: answers +PONG to each command, and does nothing else.   bun echo-epoll.ts PORT */
import { soon } from "../../src/base/soon.ts";
import { Door } from "../../src/server/doors.ts";
import { EpollTransport } from "../../src/server/transport/epoll-transport.ts";
import type { EpollSocket, SocketUser } from "../../src/server/transport/epoll-sockets.ts";

const PONG = Buffer.from(new ArrayBuffer(7));
PONG.write("+PONG\r\n");
const PING_BYTES = 14;
const STAR = 42;

class Echo implements SocketUser {
  constructor(private readonly socket: EpollSocket<Echo>) {}
  receive(bytes: Buffer, length: number): void {
    if (length === PING_BYTES) return void this.socket.write(PONG, 0, PONG.length);
    for (let at = 0; at < length; at++) if (bytes[at] === STAR) this.socket.write(PONG, 0, PONG.length);
  }
  openPieces = (): number => 0;
  filledPieces = (): void => {};
  drained = (): void => {};
  disconnected = (): void => {};
}

const failed = (thrown: unknown): void => console.error(thrown);
const transport = EpollTransport.open<Echo>({
  now: () => performance.now(),
  failed,
  began: () => soon(() => {}),
  hostOf: () => ({
    open(socket) {
      socket.data = new Echo(socket);
      socket.setNoDelay(true);
    },
    received: () => {},
    failed,
  }),
});
const listener = Bun.listen({ hostname: "127.0.0.1", port: Number(process.argv[2]), socket: { data() {} } });
transport?.take((listener as unknown as { fd: number }).fd, Door.Tcp);
listener.stop(true);
