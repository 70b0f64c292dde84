/**
 * Runs inside its own network namespace (limits.test.ts). Starts a server on all addresses of the namespace, and connects
 * from a loopback address and from another one. Prints the replies to both as JSON. It reaches nothing outside the
 * namespace.
 *
 *   unshare -rn bun test/support/protected-mode-probe.ts ferrite|redis
 */
import { RespClient, within } from "./resp.ts";
import { startFerrite, startRedis } from "./servers.ts";

/** Not in 127.0.0.0/8, so the server must take it for a stranger, although it is an address of the namespace's lo. */
const OUTSIDE = "10.98.76.54";
for (const command of ["ip link set lo up", `ip addr add ${OUTSIDE}/32 dev lo`]) {
  const done = Bun.spawnSync(command.split(" "), { stderr: "pipe" });
  if (done.exitCode !== 0) throw new Error(`${command}: ${done.stderr.toString()}`);
}

const results: Record<string, { reply: string; closed: boolean }> = {};
for (const [name, settings] of [
  ["no password", {}],
  ["with a password", { requirepass: "secret" }],
  ["switched off", { "protected-mode": "no" }],
] as const) {
  const server =
    process.argv[2] === "redis"
      ? await startRedis({ bind: "0.0.0.0", settings })
      : await startFerrite({ bind: "0.0.0.0", settings });
  try {
    for (const [place, host] of [
      ["inside", "127.0.0.1"],
      ["outside", OUTSIDE],
    ] as const) {
      const client = await RespClient.connect({ port: server.port, host });
      client.keepRaw = true;
      client.write("PING\r\n");
      await client.rawBytes(1, 20_000);
      const refused = client.raw().toString("latin1").startsWith("-DENIED");
      if (refused) await within(client.closed, 20_000, "closing").catch(() => {});
      results[`${place}, ${name}`] = { reply: client.raw().toString("latin1"), closed: client.isClosed };
      client.close();
    }
  } finally {
    await server.stop();
  }
}
console.log(JSON.stringify(results));
process.exit(0);
