/**
 * A worker's part in a crew that it does not lead (apply-crew.ts): it runs commands of the primary's stream on shards that the
 * leader lends it, as those of a client that reads no reply.
 */
import { SERVER_ITSELF } from "../dispatch/user.ts";
import { ExpiryMode } from "../store/expiry-mode.ts";
import type { Shard } from "../store/shard.ts";
import { type CrewSlot, helpCrew, partOf } from "./apply-crew.ts";
import { Client } from "./client.ts";
import type { Engine } from "./engine.ts";

/** Chunks of memory that are reserved for a part of a whole, so that none of its commands has to wait for some. */
export const WHOLE_CHUNKS = 16;

/** What is told of the primary's commands: as in ApplyHost. */
export interface HelperHost {
  replied(error: string, command: string): void;
}

export class ApplyHelper {
  private client: Client;
  private done = 0;
  private errors = 0;
  /** The shards of the part that was run last. */
  private shards: readonly Shard[] = [];
  private part = -1;
  private party = -1;
  private onError: (text: string) => void = () => {};

  constructor(
    private readonly engine: Engine,
    private readonly slot: CrewSlot,
    private readonly host: HelperHost,
  ) {
    this.client = this.makeClient();
  }

  private makeClient(): Client {
    const transport = {
      write: (_bytes: Uint8Array, _offset: number, length: number) => length,
      end: () => {},
      terminate: () => {},
    };
    const client = new Client(0, this.engine, transport, { proceedLater: () => {}, closed: () => {} });
    client.session.isPrimary = true;
    client.session.deniesBlocking = true;
    client.session.authenticateAs(SERVER_ITSELF);
    client.ran = this.ran;
    client.runsWhole = true;
    return client;
  }

  /** Helps if the leader has called. Between commands of this worker's clients alone. */
  look(): void {
    const { engine, slot } = this;
    if (slot.isQuiet) return;
    helpCrew(slot, () => engine.clock.monotonicMs(), this.run);
  }

  private readonly run = (slot: CrewSlot): void => {
    const { engine, client } = this;
    const { store, turn, reply, effects } = engine;
    const { section } = store;
    turn.enter();
    store.setExpiryMode(ExpiryMode.Replay);
    this.onError = reply.onError;
    reply.onError = this.noteError;
    this.done = this.errors = 0;
    slot.effects.begin();
    effects.capture = slot.effects;
    client.session.db = slot.database;
    section.reserve(WHOLE_CHUNKS);
    section.borrow(this.shardsOf(slot.part, slot.party));
    try {
      client.receive(slot.inbox.subarray(0, slot.bytes));
      section.giveBack();
    } finally {
      effects.capture = null;
      reply.onError = this.onError;
      engine.applyExpiryMode();
    }
    const isWhole = this.done === slot.commands;
    slot.report(this.errors, isWhole);
    if (!isWhole) {
      client.disconnected();
      this.client = this.makeClient();
    }
    turn.leave();
  };

  private shardsOf(part: number, party: number): readonly Shard[] {
    if (part !== this.part || party !== this.party)
      this.shards = this.engine.store.shards.filter(({ number }) => partOf(number, party) === part);
    this.part = part;
    this.party = party;
    return this.shards;
  }

  private readonly ran = (): void => {
    const { engine, slot } = this;
    engine.store.section.flushEffects();
    slot.effects.endCommand();
    this.done++;
    engine.reply.at = 0;
  };

  private readonly noteError = (text: string): void => {
    this.onError(text);
    const { call } = this.engine;
    if (!call.session.isPrimary) return;
    this.errors++;
    this.host.replied(text, call.spec.name.toLowerCase());
  };
}
