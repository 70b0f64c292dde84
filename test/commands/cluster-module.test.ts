/**
 * Goal:   commands of cluster nodes and of modules reply as a Redis without clusters and modules does.
 * Method: the same commands to redis-server and to Ferrite.
 */
import { describe, expect, test } from "bun:test";
import { bothServers } from "../support/both-servers.ts";
import { requireRedis } from "../support/servers.ts";
import { show } from "../support/resp.ts";

const COMMANDS = `
MODULE
MODULE LIST
MODULE LIST x
MODULE LOAD
MODULE LOAD /tmp/none.so
MODULE LOAD /tmp/none.so argument
MODULE LOADEX /tmp/none.so CONFIG a b ARGS c
MODULE UNLOAD none
MODULE UNLOAD
MODULE HELP
MODULE NONE
CLUSTER
CLUSTER INFO
CLUSTER INFO x
CLUSTER NODES
CLUSTER MYID
CLUSTER SLOTS
CLUSTER SHARDS
CLUSTER LINKS
CLUSTER KEYSLOT a
CLUSTER KEYSLOT
CLUSTER COUNTKEYSINSLOT 1
CLUSTER GETKEYSINSLOT 1 1
CLUSTER COUNT-FAILURE-REPORTS node
CLUSTER REPLICAS node
CLUSTER SLAVES node
CLUSTER ADDSLOTS 1 2
CLUSTER ADDSLOTSRANGE 1 2
CLUSTER DELSLOTS 1
CLUSTER DELSLOTSRANGE 1 2
CLUSTER FLUSHSLOTS
CLUSTER SETSLOT 1 STABLE
CLUSTER MEET 127.0.0.1 7000
CLUSTER FORGET node
CLUSTER REPLICATE node
CLUSTER FAILOVER
CLUSTER BUMPEPOCH
CLUSTER SET-CONFIG-EPOCH 1
CLUSTER SAVECONFIG
CLUSTER RESET
CLUSTER HELP
CLUSTER NONE
READONLY
READONLY x
READWRITE
ASKING
`
  .trim()
  .split("\n");

describe("commands of clusters and modules", () => {
  if (!requireRedis()) return;
  const both = bothServers({ workers: 1 });

  test.each(COMMANDS)("%s", async (line) => {
    const clients = [await both.redis!.connect(), await both.ferrite.connect()];
    const [redis, ferrite] = await Promise.all(clients.map((client) => client.command(...line.split(" "))));
    for (const client of clients) client.close();
    expect(show(ferrite!)).toBe(show(redis!));
  });
});
