/** Short query buffers of the clients of a worker. A command that waits for the disk keeps its bytes in one for a moment. */

export const QUERY_BYTES = 4096;
const SPARES_MAX = 256;

export class QueryBuffers {
  private readonly spares: Buffer[] = [];

  take(): Buffer {
    return this.spares.pop() ?? Buffer.allocUnsafeSlow(QUERY_BYTES);
  }

  /** Nobody uses the bytes of `buffer` any more. One of another length is left to the collector. */
  give(buffer: Buffer): void {
    if (buffer.length === QUERY_BYTES && this.spares.length < SPARES_MAX) this.spares.push(buffer);
  }
}
