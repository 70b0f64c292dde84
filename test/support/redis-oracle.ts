/** A redis-server whose scripts answer calls of Lua's library functions, for all tests of a file. */
import { afterAll, beforeAll, expect } from "bun:test";
import { differences, type LibraryCall, redisOracle } from "./lua-oracle.ts";
import type { RespClient } from "./resp.ts";
import { type Server, startRedis } from "./servers.ts";

const START_MS = 60_000;

export interface RedisLua {
  /** Expects that all calls answer as redis-server's do. `seed` is shown when they do not. */
  expectSame(calls: readonly LibraryCall[], seed?: number): Promise<void>;
}

/** Starts the server before the tests of the file, or block, and stops it afterwards. */
export function redisLua(): RedisLua {
  let server: Server;
  let client: RespClient;
  beforeAll(async () => {
    server = await startRedis();
    client = await server.connect();
  }, START_MS);
  afterAll(async () => {
    client.close();
    await server.stop();
  }, START_MS);
  return {
    async expectSame(calls, seed = 0) {
      expect({ seed, found: await differences(redisOracle(client), calls) }).toEqual({ seed, found: "" });
    },
  };
}
