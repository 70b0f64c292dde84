/**
 * The look at each client that time brings about: its memory, the sizes of its buffers, the soft limit of its output, how long it
 * has been idle. Each round of background work looks at a slice of the clients, so that all are seen once a second and
 * thousands of idle ones do not stall the busy ones. As long as there are few, all are seen every time.
 */
import type { Cells } from "./cells.ts";
import { Cell } from "./cells.ts";
import type { Client } from "./client.ts";
import { bucketOf, isEvictable } from "./client-eviction.ts";

/** Clients that are looked at every time. */
const AT_ONCE = 200;

export class ClientRound {
  private iterator: Iterator<Client>;
  /** Of those seen in this round: largest buffers, and the size class of the largest client that may be evicted. */
  private maxInput = 0;
  private maxOutput = 0;
  private largest = 0;

  constructor(
    private readonly clients: ReadonlyMap<number, Client>,
    private readonly cells: Cells,
  ) {
    this.iterator = clients.values();
  }

  /**
   * Looks at `share` of the clients, at least at AT_ONCE of them. `idleBeforeMs`: those without a command since then are closed;
   * -Infinity = none is.
   */
  look(share: number, nowMs: number, idleBeforeMs: number): void {
    const { cells } = this;
    for (let left = Math.max(AT_ONCE, Math.ceil(this.clients.size * share)); left > 0; left--) {
      const next = this.iterator.next();
      if (next.done === true) return this.begin();
      this.visit(next.value, nowMs, idleBeforeMs);
    }
    // What is larger than all of the round before is told at once.
    if (this.maxInput > cells.get(Cell.maxInputBuffer)) cells.set(Cell.maxInputBuffer, this.maxInput);
    if (this.maxOutput > cells.get(Cell.maxOutputBuffer)) cells.set(Cell.maxOutputBuffer, this.maxOutput);
    if (this.largest > cells.get(Cell.largestClient)) cells.set(Cell.largestClient, this.largest);
  }

  /** Publishes what the round has found, and begins the next one. */
  private begin(): void {
    const { cells } = this;
    cells.set(Cell.maxInputBuffer, this.maxInput);
    cells.set(Cell.maxOutputBuffer, this.maxOutput);
    cells.set(Cell.largestClient, this.largest);
    this.maxInput = this.maxOutput = this.largest = 0;
    this.iterator = this.clients.values();
  }

  private visit(client: Client, nowMs: number, idleBeforeMs: number): void {
    const { session, output } = client;
    client.countMemory();
    this.maxInput = Math.max(this.maxInput, client.input.bytes);
    this.maxOutput = Math.max(this.maxOutput, output.heldBytes);
    if (isEvictable(client)) this.largest = Math.max(this.largest, bucketOf(client));
    if (output.bytes > 0) output.checkSoftLimit(nowMs);
    if (session.activeMs >= idleBeforeMs || client.isWaiting || client.isPaused) return;
    if (!session.monitors && !session.isReplica && session.subscriptions === null) client.transport.terminate();
  }
}
