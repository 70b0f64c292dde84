/**
 * Eviction of clients (maxmemory-clients): while the clients of all workers together take more memory than they may, the
 * largest of them are closed.
 *
 * Clients are compared by the power of two that their memory reaches. Each worker publishes that of its largest client in a
 * cell, so every worker knows whether it has the largest client of all. If it has not, it asks the others to evict. Only
 * one worker evicts at a time (EVICTING_AT), because two would each close a client where one is enough.
 *
 * The sum includes clients with CLIENT NO-EVICT, but these are never closed.
 */
import { type Control, EVICTING_AT } from "../memory/control.ts";
import { Cell } from "./cells.ts";
import type { Client } from "./client.ts";
import type { Engine } from "./engine.ts";

/** Result of a round of eviction. Done: nothing more to close. Elsewhere: another worker has the largest clients. */
export const Eviction = { Done: 0, Elsewhere: 1 } as const;
export type Eviction = (typeof Eviction)[keyof typeof Eviction];

export class ClientEviction {
  evicted = 0;

  constructor(
    private readonly worker: number,
    private readonly control: Control,
    private readonly clients: Map<number, Client>,
    private readonly engine: Engine,
    private readonly log: (client: Client) => void,
  ) {}

  /** Counts the memory of this worker's clients anew and publishes the size of the largest. */
  measure(): void {
    let largest = 0;
    for (const client of this.clients.values()) {
      client.countMemory();
      if (isEvictable(client)) largest = Math.max(largest, bucketOf(client));
    }
    this.publish(largest);
  }

  /** Closes the largest clients of this worker while the limit is exceeded and no other worker has larger ones. */
  evict(): Eviction {
    const { engine, control } = this;
    if (engine.clientBytesMax === 0 || !this.isOver) return Eviction.Done;
    this.measure();
    if (!this.isOver) return Eviction.Done;
    if (Atomics.compareExchange(control.i32, EVICTING_AT, 0, this.worker + 1) !== 0) return Eviction.Elsewhere;
    try {
      return this.evictHolding();
    } finally {
      Atomics.store(control.i32, EVICTING_AT, 0);
    }
  }

  /**
   * Closes a client that grew if the limit is exceeded and no larger client is known. It does so at once, because the next
   * bytes may complete the client's command. Returns true when the limit is still exceeded.
   */
  mustEvict(client: Client): boolean {
    if (!this.isOver) return false;
    const bucket = bucketOf(client);
    const known = Math.max(this.largestElsewhere(), this.engine.cells.get(Cell.largestClient));
    if (this.clients.get(client.session.id) === client && isEvictable(client) && bucket >= known) this.close(client);
    return this.isOver;
  }

  private close(client: Client): void {
    this.log(client);
    this.evicted++;
    client.transport.terminate();
    client.disconnected();
    this.engine.cells.set(Cell.evictedClients, this.evicted);
  }

  private evictHolding(): Eviction {
    const largestFirst = [...this.clients.values()]
      .filter(isEvictable)
      .map((client) => ({ client, bucket: bucketOf(client) }))
      .sort((a, b) => b.bucket - a.bucket);
    for (let i = 0; this.isOver; i++) {
      const next = largestFirst[i];
      this.publish(next?.bucket ?? 0);
      const others = this.largestElsewhere();
      if (next === undefined || next.bucket < others) return others > 0 ? Eviction.Elsewhere : Eviction.Done;
      this.close(next.client);
    }
    this.measure();
    return Eviction.Done;
  }

  private publish(largest: number): void {
    const { cells, clientBytes } = this.engine;
    cells.set(Cell.clientBytes, clientBytes);
    cells.set(Cell.largestClient, largest);
    cells.set(Cell.evictedClients, this.evicted);
  }

  private get isOver(): boolean {
    const { cells, clientBytes, clientBytesMax } = this.engine;
    cells.set(Cell.clientBytes, clientBytes);
    return cells.sum(Cell.clientBytes) > clientBytesMax;
  }

  private largestElsewhere(): number {
    let largest = 0;
    for (let worker = 0; worker < this.control.geometry.workers; worker++) {
      if (worker !== this.worker) largest = Math.max(largest, this.engine.cells.of(worker, Cell.largestClient));
    }
    return largest;
  }
}

export function isEvictable(client: Client): boolean {
  return !client.isClosed && !client.session.noEvict;
}

/** 1 + the power of two that the memory of the client reaches. */
export function bucketOf(client: Client): number {
  return 32 - Math.clz32(Math.min(client.memoryBytes, 0xffffffff));
}
