/** What tests of restarts share: directories of data and servers on them, which are gone after each test. */
import { afterEach } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FerriteOptions, type Server, startFerrite } from "./servers.ts";

/** `end`: how servers end that a test has left running. */
export function restarts(prefix: string, end: (server: Server) => Promise<unknown>) {
  const directories: string[] = [];
  const servers: Server[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) if (!server.hasExited) await end(server);
    for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
  });

  function newDirectory(): string {
    const directory = mkdtempSync(join(tmpdir(), prefix));
    directories.push(directory);
    return directory;
  }

  /** Starts a server that ends with the test. */
  async function startOn(dataDir: string, options: FerriteOptions): Promise<Server> {
    const server = await startFerrite({ dataDir, persistence: true, ...options });
    servers.push(server);
    return server;
  }

  return { newDirectory, startOn };
}
