/**
 * Runs inside its own network namespace (operator.test.ts), whose kernel settings it changes. A server is started with or
 * without tcp_fast_open; two connections send PING with their SYN, the first to get a cookie. Prints as JSON the replies, and
 * how many connections the kernel accepted together with their data.
 *
 *   unshare -rn bun test/support/fast-open-probe.ts true|false
 */
import { readFileSync, writeFileSync } from "node:fs";
import { startFerrite } from "./servers.ts";

/** A client, since Bun has no MSG_FASTOPEN. */
const CLIENT = `
import socket, sys
for _ in range(2):
    s = socket.socket()
    s.sendto(b"PING\\r\\n", socket.MSG_FASTOPEN, ("127.0.0.1", int(sys.argv[1])))
    print(s.recv(100).decode().strip())
    s.close()
`;

/** A counter of the namespace, of /proc/net/netstat. */
function counter(name: string): number {
  const lines = readFileSync("/proc/net/netstat", "utf8").split("\n");
  const [names, values] = lines.filter((line) => line.startsWith("TcpExt:")).map((line) => line.split(" "));
  return Number(values![names!.indexOf(name)]);
}

const up = Bun.spawnSync(["ip", "link", "set", "lo", "up"], { stderr: "pipe" });
if (up.exitCode !== 0) throw new Error(up.stderr.toString());
writeFileSync("/proc/sys/net/ipv4/tcp_fastopen", "3");
const server = await startFerrite({ workers: 1, args: ["--set", `server.tcp_fast_open=${process.argv[2]}`] });
try {
  const client = Bun.spawn(["python3", "-c", CLIENT, String(server.port)], { stdout: "pipe", stderr: "inherit" });
  const replies = (await new Response(client.stdout).text()).trim().split("\n");
  console.log(JSON.stringify({ replies, withData: counter("TCPFastOpenPassive") }));
} finally {
  await server.stop();
}
