/**
 * ACL LOG: what was denied lately. Each worker has a list of its own, newest first. A reader gets the lists of all workers
 * merged. Alike denials within a minute of each other are one entry that counts them, in a worker and between workers.
 */
import type { AccessLog, Denied, DeniedContext } from "../dispatch/access.ts";
import type { Session } from "../dispatch/session.ts";
import type { AclLogEntry } from "../dispatch/user-service.ts";

const GROUPED_MS = 60_000;
/** Only so many of the newest entries are compared with a new one. */
const COMPARED_MAX = 10;

export interface AclLogHost {
  wallMs(): number;
  describeClient(session: Session): string;
  /** A new id, unique in the process. */
  takeId(): number;
  /** acllog-max-len */
  readonly entriesMax: number;
}

export class AclLog implements AccessLog {
  private readonly entries: AclLogEntry[] = [];

  constructor(private readonly host: AclLogHost) {}

  denied(session: Session, reason: Denied, context: DeniedContext, object: string, user: string): void {
    const { entries, host } = this;
    const nowMs = host.wallMs();
    const entry: AclLogEntry = {
      id: 0,
      count: 1,
      reason,
      context,
      object,
      user,
      createdMs: nowMs,
      updatedMs: nowMs,
      client: host.describeClient(session),
    };
    const at = entries.slice(0, COMPARED_MAX).findIndex((other) => areAlike(other, entry));
    if (at < 0) {
      entries.unshift({ ...entry, id: host.takeId() });
    } else {
      const [known] = entries.splice(at, 1);
      join(known!, entry);
      entries.unshift(known!);
    }
    this.limit = host.entriesMax;
    if (entries.length > this.limit) entries.length = this.limit;
  }
  /** As of the last denial: a change of the setting takes effect with the next one. */
  limit = 0;

  list(): AclLogEntry[] {
    return this.entries.map((entry) => ({ ...entry }));
  }
  reset(): void {
    this.entries.length = 0;
  }
}

/** The lists of all workers as one, newest first. */
export function mergeAclLogs(lists: readonly (readonly AclLogEntry[])[], entriesMax: number): AclLogEntry[] {
  const merged: AclLogEntry[] = [];
  for (const entry of lists.flat().sort((a, b) => b.updatedMs - a.updatedMs)) {
    const known = merged.find((other) => areAlike(other, entry));
    if (known === undefined) merged.push({ ...entry });
    else known.count += entry.count;
  }
  return merged.slice(0, entriesMax);
}

function areAlike(a: AclLogEntry, b: AclLogEntry): boolean {
  return (
    a.reason === b.reason &&
    a.context === b.context &&
    Math.abs(a.updatedMs - b.updatedMs) <= GROUPED_MS &&
    a.object === b.object &&
    a.user === b.user
  );
}

/** Adds a newer denial to an entry. */
function join(entry: AclLogEntry, newer: AclLogEntry): void {
  entry.count += newer.count;
  entry.updatedMs = newer.updatedMs;
  entry.client = newer.client;
}
