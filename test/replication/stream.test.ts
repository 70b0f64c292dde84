/**
 * Goal:   the replication stream and the replication state of one process: offsets, SELECT, the backlog, ids and roles.
 * Method: a control block and a ring without a server around them.
 */
import { describe, expect, test } from "bun:test";
import { Control } from "../../src/memory/control.ts";
import { NO_ID, ReplicationState } from "../../src/replication/state.ts";
import { CAPACITY, ReplicationStream } from "../../src/replication/stream.ts";

const GEOMETRY = {
  shards: 1,
  workers: 1,
  databases: 16,
  regionsMax: 1,
  regionBytes: 1 << 20,
  shardWords: 1024,
  seedA: 1,
  seedB: 2,
};
const ring = new SharedArrayBuffer(CAPACITY);

function fresh(): { stream: ReplicationStream; state: ReplicationState } {
  const stream = new ReplicationStream(Control.create(GEOMETRY), ring);
  return { stream, state: stateOf(stream) };
}
function stateOf(stream: ReplicationStream): ReplicationState {
  const state = new ReplicationState(Control.create(GEOMETRY), stream);
  state.initialize();
  stream.backlogBytes = 1000;
  return state;
}
const PING = Buffer.from("*1\r\n$4\r\nPING\r\n");
const SELECT_3 = "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n";

describe("the stream", () => {
  test("takes nothing while it is off", () => {
    const { stream } = fresh();
    stream.append(PING, 0, PING.length, 0, 0);
    stream.appendOwn(PING);
    expect([stream.isOn, stream.takesEffects, stream.end]).toEqual([false, false, 0]);
  });

  test("names the database of a command where the one before it ran in another, and where a replica begins", () => {
    const { stream } = fresh();
    stream.begin(100, true);
    stream.append(PING, 0, PING.length, 3, 3);
    stream.append(PING, 0, PING.length, 3, 12);
    stream.append(PING, 0, PING.length, 12, 12);
    expect(stream.forceSelect()).toBe(stream.end);
    stream.appendOwn(PING);
    stream.append(PING, 0, PING.length, 12, 12);
    const select12 = "*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n";
    expect(stream.view(100, stream.end).toString()).toBe(`${SELECT_3}${PING}${PING}${PING}${PING}${select12}${PING}`);
    expect(stream.end).toBe(100 + SELECT_3.length + select12.length + 5 * PING.length);
  });

  test("has a backlog of its last bytes", () => {
    const { stream } = fresh();
    stream.begin(50, true);
    stream.append(Buffer.alloc(600, "a"), 0, 600, 0, 0);
    expect([stream.start, stream.isInBacklog(50), stream.isInBacklog(49)]).toEqual([50, true, false]);
    stream.append(Buffer.alloc(600, "b"), 0, 600, 0, 0);
    expect(stream.start).toBe(stream.end - 1000);
    expect([stream.isInBacklog(stream.start), stream.isInBacklog(stream.start - 1)]).toEqual([true, false]);
    expect([stream.isInBacklog(stream.end), stream.isInBacklog(stream.end + 1)]).toEqual([true, false]);
    // Redis too can widen it again over what is still there.
    stream.backlogBytes = 5000;
    expect(stream.start).toBe(50);
  });

  test("continues at the ring's beginning when it reaches the ring's end, also within a command", () => {
    const { stream } = fresh();
    stream.begin(7 * CAPACITY - 10, false);
    stream.appendVerbatim(Buffer.from("--0123456789abcdefghij"), 2, 22);
    const first = stream.view(7 * CAPACITY - 10, stream.end);
    expect(first.toString()).toBe("0123456789");
    expect(stream.view(7 * CAPACITY, stream.end).toString()).toBe("abcdefghij");
    expect(stream.end).toBe(7 * CAPACITY + 10);
  });

  test("gives back what nobody needs, and then no longer has it", () => {
    const { stream } = fresh();
    stream.begin(0, true);
    const piece = Buffer.alloc(1 << 20, "x");
    for (let i = 0; i < 8; i++) stream.append(piece, 0, piece.length, 0, 0);
    stream.trim(5 << 20);
    expect([stream.holds((5 << 20) - 1), stream.holds(5 << 20)]).toEqual([false, true]);
    expect(stream.view(5 << 20, stream.end)[0]).toBe(piece[0]!);
    expect(stream.view(1 << 20, 2 << 20)[0]).not.toBe(piece[0]!);
  });
});

describe("the state", () => {
  test("a server starts as the primary of a history of its own", () => {
    const { state } = fresh();
    expect([state.isReplica, state.id2, state.secondOffset]).toEqual([false, NO_ID, -1]);
    expect(state.id).toMatch(/^[0-9a-f]{40}$/);
  });

  test("a promoted replica continues the history of its primary under a new id, and drops its replicas", () => {
    const stream = new ReplicationStream(Control.create(GEOMETRY), ring);
    const state = stateOf(stream);
    state.becomeReplica();
    state.adopt("a".repeat(40), 5000);
    stream.appendVerbatim(PING, 0, PING.length);
    expect([state.isReplica, state.id, state.id2, state.offset]).toEqual([true, "a".repeat(40), NO_ID, 5014]);
    const epoch = state.dropEpoch;
    state.promote();
    expect([state.isReplica, state.id2, state.secondOffset]).toEqual([false, "a".repeat(40), 5015]);
    expect(state.id).not.toBe("a".repeat(40));
    expect(state.dropEpoch).toBeGreaterThan(epoch);
    expect(stream.takesEffects).toBe(true);
  });

  test("a replica whose primary has another id by now keeps the old one as the second", () => {
    const { state, stream } = fresh();
    state.becomeReplica();
    state.adopt("a".repeat(40), 10);
    state.continueAs("a".repeat(40));
    expect(state.id2).toBe(NO_ID);
    state.continueAs("b".repeat(40));
    expect([state.id, state.id2, state.secondOffset]).toEqual(["b".repeat(40), "a".repeat(40), 11]);
    state.renew();
    expect([state.id2, state.secondOffset, stream.end]).toEqual([NO_ID, -1, 10]);
  });
});
