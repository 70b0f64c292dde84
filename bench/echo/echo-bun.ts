/** The floor of a request over Bun.listen: answers +PONG to each command, and does nothing else.   bun echo-bun.ts PORT */
const PONG = Buffer.from("+PONG\r\n");
const PING_BYTES = 14;
const STAR = 42;

Bun.listen({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  socket: {
    open: (socket) => void socket.setNoDelay(true),
    data(socket, bytes) {
      if (bytes.length === PING_BYTES) return void socket.write(PONG, 0, PONG.length);
      for (const byte of bytes) if (byte === STAR) socket.write(PONG, 0, PONG.length);
    },
  },
});
