// Starts servers with redis-memory-server as test suites do, in the current folder. Without EXECUTABLE the package finds it
// by itself.                                                                       node memory-server.mjs [EXECUTABLE]
import { createConnection } from "node:net";
import { readdirSync } from "node:fs";
import { RedisMemoryServer } from "redis-memory-server";

const [systemBinary] = process.argv.slice(2);

/** Sends an inline command. Resolves with the first line of the reply. */
function ask(port, command) {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, "127.0.0.1", () => socket.write(`${command}\r\n`));
    socket.on("error", reject).once("data", (data) => {
      socket.destroy();
      resolve(data.toString().split("\r\n")[0]);
    });
  });
}

const open = (instance) =>
  RedisMemoryServer.create({ instance, ...(systemBinary ? { binary: { systemBinary } } : {}) });

const first = await open();
const second = await open({ args: ["--maxmemory", "64mb", "--requirepass", "secret"] });
const ports = [await first.getPort(), await second.getPort()];
console.log("first:", await ask(ports[0], "SET key value"), await ask(ports[0], "GET missing"));
console.log("second:", await ask(ports[1], "PING"));
console.log("save:", await ask(ports[0], "SAVE"));

// The port is taken: the harness must hear why, and not wait for ever.
const third = new RedisMemoryServer({
  instance: { port: ports[0] },
  ...(systemBinary ? { binary: { systemBinary } } : {}),
  autoStart: false,
});
console.log(
  "third:",
  await third
    .start()
    .then(() => third.getPort())
    .then((port) => port !== ports[0], String),
);
await Promise.all([first.stop(), second.stop(), third.stop().catch(() => {})]);
console.log("left behind:", JSON.stringify(readdirSync(".")));
process.exit(0);
