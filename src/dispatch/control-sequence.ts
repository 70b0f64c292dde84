/**
 * A transaction with commands whose answers come from other threads (ASKS_THREADS), as Sentinel sends it: SLAVEOF, CONFIG
 * REWRITE, CLIENT KILL between MULTI and EXEC. Its commands run one by one, in order, each when the one before has replied.
 * Nothing of it concerns keys: such a transaction may not be mixed with commands that do, because it holds no locks.
 *
 * The reply begins with the head of EXEC's array, and grows with every command. What is pushed to the client meanwhile waits
 * for its end.
 */
import type { Reply } from "../protocol/reply.ts";
import type { Call } from "./call.ts";
import type { CommandStatistics } from "./command-statistics.ts";
import type { Session } from "./session.ts";
import { type CommandSpec, Done, Later, type Outcome } from "./spec.ts";
import type { Transaction } from "./transaction.ts";

/** What a sequence needs of the transactions around it. */
export interface SequenceHost {
  readonly call: Call;
  readonly statistics: CommandStatistics;
  /** Whether the user may run it still; replies an error otherwise. */
  mayRun(spec: CommandSpec, reply: Reply): boolean;
  /** The transaction is not needed any more. */
  release(transaction: Transaction): void;
}

export class ControlSequence {
  private next = 0;

  constructor(
    private readonly host: SequenceHost,
    private readonly transaction: Transaction,
  ) {}

  /** EXEC. Later: `proceed` follows behind the reply that is awaited. */
  begin(session: Session, reply: Reply): Outcome {
    reply.array(this.transaction.count);
    return this.proceed(session, reply);
  }

  /** Runs commands up to one whose reply comes later. */
  proceed(session: Session, reply: Reply): Outcome {
    const { transaction } = this;
    while (this.next < transaction.count) if (this.run(session, this.next++, reply) === Later) return Later;
    this.end(session);
    return Done;
  }

  /** No further command runs. */
  end(session: Session): void {
    if (session.sequence !== this) return;
    session.sequence = null;
    this.host.release(this.transaction);
  }

  private run(session: Session, n: number, reply: Reply): Outcome {
    const { host, transaction } = this;
    const { call, statistics } = host;
    transaction.open(call, n);
    call.setClient(session, []);
    const spec = transaction.specs[n]!;
    const row = transaction.rowAt(n);
    call.spec = spec;
    if (!host.mayRun(spec, reply)) return Done;
    statistics.beginRun(row);
    const { errors } = reply;
    const { deniesBlocking } = session;
    session.deniesBlocking = true;
    const outcome = spec.run(call, reply) ?? Done;
    session.deniesBlocking = deniesBlocking;
    if (reply.errors !== errors) statistics.failed(row);
    statistics.ended(call, true);
    return outcome;
  }
}

/** The reply to EXEC of a transaction that may not run. */
export const MIXED_WITH_KEYS =
  "EXECABORT Transaction discarded because of: commands that ask other threads cannot be mixed with commands on keys";
