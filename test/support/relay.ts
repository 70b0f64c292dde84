/** A relay for TCP connections whose far end can be moved: what a proxy, a virtual address or a name in the DNS is to clients. */
import { connect, createServer, type Server as Listener, type Socket } from "node:net";

export class Relay {
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly listener: Listener,
    readonly port: number,
    private target: number,
  ) {}

  /** `target`: port of the server. */
  static async start(target: number): Promise<Relay> {
    const listener = createServer();
    await new Promise<void>((done) => listener.listen({ port: 0, host: "127.0.0.1" }, done));
    const { port } = listener.address() as { port: number };
    const relay = new Relay(listener, port, target);
    listener.on("connection", (client: Socket) => relay.join(client));
    return relay;
  }

  /** Breaks all connections. The next ones lead to `target`. */
  moveTo(target: number): void {
    this.target = target;
    for (const socket of this.sockets) socket.destroy();
  }

  stop(): void {
    this.listener.close();
    this.moveTo(this.target);
  }

  private join(client: Socket): void {
    const server = connect(this.target, "127.0.0.1");
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.sockets.add(socket);
      socket.on("data", (bytes: Buffer) => other.write(bytes));
      socket.on("error", () => {});
      socket.on("close", () => {
        this.sockets.delete(socket);
        other.destroy();
      });
    }
  }
}
