/**
 * A TCP proxy in front of a server, whose links a test cuts, slows, and blocks in one way or both. Bytes are passed on in pieces, so
 * that a cut comes anywhere: in the middle of a command, of the RDB file, of an acknowledgement.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

/** What is passed on at a time, at most: small, so that a cut is seldom between two units. */
const PIECE_BYTES = 16 << 10;

interface Link {
  readonly near: Socket;
  readonly far: Socket;
}

export class LinkProxy {
  /** Links that were cut by `cut` and `cutAfter`. */
  cuts = 0;
  private readonly links = new Set<Link>();
  private readonly listener: Server;
  /** Bytes a second towards the replica; Infinity = as they come. */
  private rate = Infinity;
  private blocksDown = false;
  private blocksUp = false;
  /** Bytes towards the replica up to the next cut. */
  private left = Infinity;

  private constructor(private readonly target: number) {
    this.listener = createServer((near) => this.begin(near));
  }

  /** In front of port `target` of this machine. */
  static async before(target: number): Promise<LinkProxy> {
    const proxy = new LinkProxy(target);
    await new Promise<void>((done) => proxy.listener.listen(0, "127.0.0.1", done));
    return proxy;
  }

  get port(): number {
    const address = this.listener.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Ends all links at once. */
  cut(): void {
    if (this.links.size > 0) this.cuts++;
    for (const link of [...this.links]) this.end(link);
  }
  /** Ends them after so many bytes towards the replica. */
  cutAfter(bytes: number): void {
    this.left = bytes;
  }
  slow(bytesPerSecond: number): void {
    this.rate = bytesPerSecond;
  }
  /** Bytes in that direction wait: towards the replica ("down"), or from it. */
  block(direction: "down" | "up"): void {
    if (direction === "down") this.blocksDown = true;
    else this.blocksUp = true;
  }
  /** Nothing is slowed or blocked any more. */
  restore(): void {
    this.rate = this.left = Infinity;
    this.blocksDown = this.blocksUp = false;
  }

  stop(): void {
    this.listener.close();
    for (const link of [...this.links]) this.end(link);
  }

  private begin(near: Socket): void {
    const link: Link = { near, far: connect(this.target, "127.0.0.1") };
    this.links.add(link);
    void this.pass(link, link.far, link.near, true);
    void this.pass(link, link.near, link.far, false);
  }

  private end(link: Link): void {
    this.links.delete(link);
    link.near.destroy();
    link.far.destroy();
  }

  private async pass(link: Link, from: Socket, to: Socket, isDown: boolean): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>)
        for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
          await this.passed(link, isDown);
          if (!(await this.send(link, to, chunk.subarray(at, at + PIECE_BYTES), isDown))) return;
        }
    } catch {
      // The other side has ended it.
    }
    this.end(link);
  }

  /** Waits while the direction is blocked. */
  private async passed(link: Link, isDown: boolean): Promise<void> {
    while (this.links.has(link) && (isDown ? this.blocksDown : this.blocksUp)) await Bun.sleep(2);
  }

  /** Returns false when the link has ended. */
  private async send(link: Link, to: Socket, piece: Buffer, isDown: boolean): Promise<boolean> {
    if (!this.links.has(link)) return false;
    if (isDown && piece.length >= this.left) {
      to.write(piece.subarray(0, this.left));
      this.left = Infinity;
      await Bun.sleep(1);
      this.cut();
      return false;
    }
    if (isDown) this.left -= piece.length;
    if (!to.write(piece)) await new Promise<void>((done) => to.once("drain", done).once("close", done));
    if (isDown && this.rate !== Infinity) await Bun.sleep((piece.length / this.rate) * 1000);
    return true;
  }
}
