/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { block, flag, integer, many, oneOf, optional, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDoc, FamilyDocs } from "../../dispatch/family.ts";
import type { ArgumentDoc } from "../../dispatch/spec.ts";

const SLOTS = [many(integer("slot"))];
const RANGES = [many(block("start-slot_end-slot", [integer("start-slot"), integer("end-slot")]))];
const NODE = [string("node-id")];
const VARIES = ["nondeterministic_output"];

function doc(
  summary: string,
  since: string,
  complexity: string,
  args?: readonly ArgumentDoc[],
  tips?: readonly string[],
): FamilyDoc {
  const texts: FamilyDoc = { summary, since, complexity };
  if (args !== undefined) texts.arguments = args;
  if (tips !== undefined) texts.tips = tips;
  return texts;
}

const PER_NODE = "O(N) for N nodes";
const PER_SLOT = "O(N) for N slots";

export const CLUSTER_DOCS: FamilyDocs = {
  CLUSTER: doc("A container for commands of Redis Cluster.", "3.0.0", "Depends on subcommand."),
  "CLUSTER|INFO": doc("Describes the state of a node.", "3.0.0", "O(1)", undefined, VARIES),
  "CLUSTER|NODES": doc("Lists the nodes of the cluster.", "3.0.0", PER_NODE, undefined, VARIES),
  "CLUSTER|MYID": doc("Returns the id of the node.", "3.0.0", "O(1)"),
  "CLUSTER|SLOTS": {
    ...doc("Lists which nodes serve which slots.", "3.0.0", PER_NODE, undefined, VARIES),
    deprecated: ["7.0.0", "`CLUSTER SHARDS`"],
    history: [
      ["4.0.0", "Node ids."],
      ["7.0.0", "Further metadata about the network."],
    ],
  },
  "CLUSTER|SHARDS": doc("Lists the shards with their nodes and slots.", "7.0.0", PER_NODE, undefined, VARIES),
  "CLUSTER|LINKS": doc("Lists the connections to other nodes.", "7.0.0", PER_NODE, undefined, VARIES),
  "CLUSTER|KEYSLOT": doc("Returns the slot of a key.", "3.0.0", "O(N) for a key of N bytes", [string("key")]),
  "CLUSTER|COUNTKEYSINSLOT": doc("Counts the node's keys in a slot.", "3.0.0", "O(1)", [integer("slot")]),
  "CLUSTER|GETKEYSINSLOT": doc(
    "Returns keys of the node in a slot.",
    "3.0.0",
    "O(N) for N keys",
    [integer("slot"), integer("count")],
    VARIES,
  ),
  "CLUSTER|COUNT-FAILURE-REPORTS": doc("Counts the reports that a node failed.", "3.0.0", PER_NODE, NODE, VARIES),
  "CLUSTER|REPLICAS": doc("Lists the replicas of a node.", "5.0.0", PER_NODE, NODE, VARIES),
  "CLUSTER|SLAVES": {
    ...doc("Lists the replicas of a node.", "3.0.0", PER_NODE, NODE, VARIES),
    deprecated: ["5.0.0", "`CLUSTER REPLICAS`"],
  },
  "CLUSTER|ADDSLOTS": doc("Assigns slots to the node.", "3.0.0", PER_SLOT, SLOTS),
  "CLUSTER|ADDSLOTSRANGE": doc("Assigns ranges of slots to the node.", "7.0.0", PER_SLOT, RANGES),
  "CLUSTER|DELSLOTS": doc("Takes slots from the node.", "3.0.0", PER_SLOT, SLOTS),
  "CLUSTER|DELSLOTSRANGE": doc("Takes ranges of slots from the node.", "7.0.0", PER_SLOT, RANGES),
  "CLUSTER|FLUSHSLOTS": doc("Takes all slots from the node.", "3.0.0", "O(1)"),
  "CLUSTER|SETSLOT": doc("Sets the state of a slot.", "3.0.0", "O(1)", [
    integer("slot"),
    oneOf(
      "subcommand",
      string("node-id", "IMPORTING"),
      string("node-id", "MIGRATING"),
      string("node-id", "NODE"),
      flag("stable", "STABLE"),
    ),
  ]),
  "CLUSTER|MEET": {
    ...doc("Makes the node meet another one.", "3.0.0", "O(1)", [
      string("ip"),
      integer("port"),
      optional(integer("cluster_bus_port"), "4.0.0"),
    ]),
    history: [["4.0.0", "The argument `cluster_bus_port`."]],
  },
  "CLUSTER|FORGET": doc("Removes a node from the node's table.", "3.0.0", "O(1)", NODE),
  "CLUSTER|REPLICATE": doc("Makes the node a replica of another one.", "3.0.0", "O(1)", NODE),
  "CLUSTER|FAILOVER": doc("Makes a replica take its primary's place.", "3.0.0", "O(1)", [
    optional(oneOf("options", flag("force", "FORCE"), flag("takeover", "TAKEOVER"))),
  ]),
  "CLUSTER|BUMPEPOCH": doc("Advances the epoch of the cluster's configuration.", "3.0.0", "O(1)", undefined, VARIES),
  "CLUSTER|SET-CONFIG-EPOCH": doc("Sets the epoch of a new node.", "3.0.0", "O(1)", [integer("config-epoch")]),
  "CLUSTER|SAVECONFIG": doc("Writes the node's configuration to disk.", "3.0.0", "O(1)"),
  "CLUSTER|RESET": doc("Makes the node forget its cluster.", "3.0.0", PER_NODE, [
    optional(oneOf("hard_soft", flag("hard", "HARD"), flag("soft", "SOFT"))),
  ]),
  "CLUSTER|HELP": doc("Describes the subcommands.", "5.0.0", "O(1)"),
  READONLY: doc("Allows reading from a replica of a cluster.", "3.0.0", "O(1)"),
  READWRITE: doc("Ends what READONLY allowed.", "3.0.0", "O(1)"),
  ASKING: doc("Announces a command that was redirected by -ASK.", "3.0.0", "O(1)"),
};
