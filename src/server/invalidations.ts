/** Invalidations (dispatch/tracking.ts) as they reach the clients of this worker. */
import { MUTANT } from "../memory/lock.ts";
import type { Blocking } from "../dispatch/blocking.ts";
import type { Client } from "./client.ts";

const INVALIDATE = Buffer.from(">2\r\n$10\r\ninvalidate\r\n");
/** A deliberate fault, see memory/lock.ts. */
const OVERTAKES = MUTANT === "invalidation-overtakes";
const ALL_KEYS = Buffer.from("_\r\n");
const MESSAGE = Buffer.from("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n");
const ALL_KEYS_RESP2 = Buffer.from("$-1\r\n");

export class Invalidations {
  /** `blocking`: knows who waits. `tellBroken`: the client to which `client`, of any worker, redirects is gone. */
  constructor(
    private readonly clients: ReadonlyMap<number, Client>,
    private readonly blocking: Pick<Blocking, "waitingIn">,
    private readonly tellBroken: (client: number, redirect: number) => void,
  ) {}

  /** See PushService.invalidate. */
  deliver(client: number, redirect: number, keys: Buffer | null, position: number, servedSlot: number): void {
    const receiver = this.clients.get(redirect === 0 ? client : redirect);
    if (receiver === undefined || receiver.isClosing) {
      if (redirect !== 0) this.tellBroken(client, redirect);
      return;
    }
    const { session } = receiver;
    if (redirect === 0 && session.tracking === null) return;
    session.isPushed = true;
    const isResp3 = session.protocol === 3;
    // RESP2 has no pushes, but a client that subscribes to anything gets messages.
    if (!isResp3 && (redirect === 0 || session.subscriptions === null)) return;
    const bytes = isResp3
      ? Buffer.concat([INVALIDATE, keys ?? ALL_KEYS])
      : Buffer.concat([MESSAGE, keys ?? ALL_KEYS_RESP2]);
    if (OVERTAKES) receiver.transport.write(bytes, 0, bytes.length);
    else if (servedSlot >= 0 && redirect === 0 && this.blocking.waitingIn(servedSlot) === client) {
      receiver.pushBehindReply(bytes, position);
    } else receiver.push(bytes, position);
  }

  /** The client to which a client of this worker redirects is gone. */
  broken(client: number, redirect: number): void {
    const receiver = this.clients.get(client);
    const tracking = receiver?.session.tracking ?? null;
    if (receiver === undefined || tracking === null || tracking.redirect !== redirect) return;
    tracking.isBroken = true;
    if (receiver.session.protocol === 3) {
      receiver.push(Buffer.from(`>2\r\n$21\r\ntracking-redir-broken\r\n:${redirect}\r\n`));
    }
  }
}
