/** Pushes to the clients of all workers: what a client is sent that is no reply to it. */
import type { Blocking } from "../dispatch/blocking.ts";
import type { PushService } from "../dispatch/services.ts";
import type { Client } from "./client.ts";
import { Invalidations } from "./invalidations.ts";
import type { Mailbox } from "./mailbox.ts";
import type { Turn } from "./turn.ts";

export class Pushes implements PushService {
  /** `clients`: those of this worker. */
  constructor(
    private readonly worker: number,
    private readonly workers: number,
    private readonly clients: ReadonlyMap<number, Client>,
    private readonly turn: Turn,
    private readonly mailbox: Mailbox,
    blocking: Blocking,
  ) {
    this.invalidations = new Invalidations(clients, blocking, (client, redirect) => {
      const to = client % workers;
      if (to === worker) this.invalidations.broken(client, redirect);
      else mailbox.tellBroken(to, client, redirect);
    });
  }
  readonly invalidations: Invalidations;

  toClient(client: number, resp2: Buffer, resp3: Buffer, position: number): void {
    const to = client % this.workers;
    this.turn.enter();
    if (to === this.worker) this.clients.get(client)?.pushEither(resp2, resp3, position);
    else this.mailbox.push(to, client, resp2, resp3, position);
    this.turn.leave();
  }

  invalidate(...of: Parameters<PushService["invalidate"]>): void {
    const [client, redirect] = of;
    const to = (redirect === 0 ? client : redirect) % this.workers;
    this.turn.enter();
    if (to === this.worker) this.invalidations.deliver(...of);
    else this.mailbox.invalidate(to, of);
    this.turn.leave();
  }

  /** Drops the clients whose pushes may have been lost, because they cannot notice a gap. */
  lost(): void {
    for (const client of [...this.clients.values()])
      if (client.session.isPushed || client.session.subscriptions !== null) client.overrun();
  }
}
