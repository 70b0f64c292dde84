/**
 * Goal:   DEBUG HEAP, DEBUG PROFILE and SIGUSR2 write files that developer tools can open, one per worker, which only the
 *         server's user can read; they never replace a file.
 * Method: a server with two workers and a directory for its profiles; the files are parsed.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask, type RespClient } from "../support/resp.ts";
import { clientOfEach, logged, type Server, startFerrite } from "../support/servers.ts";

const root = mkdtempSync(join(tmpdir(), "ferrite-profiles-"));
let server: Server;
let client: RespClient;

beforeAll(async () => {
  server = await startFerrite({ settings: { "server.profile_dir": root, "server.enable_debug_command": "local" } });
  client = await server.connect();
});
afterAll(async () => {
  client.close();
  await server.stop();
  rmSync(root, { recursive: true });
});

/** The names of the files of a directory, once there are `count`. */
async function files(directory: string, count: number): Promise<string[]> {
  for (let turn = 0; turn < 3000 && readdirSync(directory).length < count; turn++) await Bun.sleep(10);
  return readdirSync(directory).sort();
}

describe("heap snapshots", () => {
  test("DEBUG HEAP writes one per worker, for the server's user alone, over no file", async () => {
    const taken = join(root, `ferrite-heap.${server.pid}.1.heapsnapshot`);
    writeFileSync(taken, "somebody's");
    const reply = await client.command("DEBUG", "HEAP");
    const names = reply.type === "array" ? reply.value.map((each) => String((each as { value: unknown }).value)) : [];
    expect(names.sort()).toEqual([2, 3].map((n) => join(root, `ferrite-heap.${server.pid}.${n}.heapsnapshot`)));
    for (const name of names) {
      expect(statSync(name).mode & 0o777).toBe(0o600);
      const { snapshot, nodes, strings } = JSON.parse(readFileSync(name, "utf8"));
      expect(snapshot.meta.node_fields).toContain("self_size");
      expect(nodes.length).toBe(snapshot.node_count * snapshot.meta.node_fields.length);
      expect(strings).toContain("Engine");
    }
    expect(readFileSync(taken, "utf8")).toBe("somebody's");
  });

  test("SIGUSR2 writes them when heap profiling is on, and says how to turn it on", async () => {
    const directory = join(root, "signal");
    mkdirSync(directory);
    await ask(client, "CONFIG", "SET", "server.profile_dir", directory);
    server.signal("SIGUSR2");
    await logged(server, "SIGUSR2 is ignored");
    expect(readdirSync(directory)).toEqual([]);
    await ask(client, "CONFIG", "SET", "server.heap_profiling", "yes");
    server.signal("SIGUSR2");
    expect(await files(directory, 2)).toHaveLength(2);
    await ask(client, "CONFIG", "SET", "server.heap_profiling", "no");
  });

  test("--enable-heap-profiling writes them at the end", async () => {
    const directory = join(root, "end");
    mkdirSync(directory);
    const other = await startFerrite({
      args: ["--enable-heap-profiling"],
      settings: { "server.profile_dir": directory },
      env: { MALLOC_CONF: "prof:true" },
    });
    await logged(other, "MALLOC_CONF is for jemalloc and is not used: --enable-heap-profiling writes snapshots");
    expect((await other.stop()).code).toBe(0);
    expect(readdirSync(directory)).toHaveLength(2);
  });

  test("a directory that is not there is an error", async () => {
    await ask(client, "CONFIG", "SET", "server.profile_dir", join(root, "nowhere"));
    expect(await ask(client, "DEBUG", "HEAP")).toMatch(/^-ERR open .*nowhere.*No such file or directory/);
    await ask(client, "CONFIG", "SET", "server.profile_dir", root);
  });
});

describe("profiles of the processor", () => {
  test("DEBUG PROFILE samples each worker, which serves its clients meanwhile", async () => {
    const both = await clientOfEach(2, () => server.connect());
    const profile = client.command("DEBUG", "PROFILE", "2");
    let isOver = false;
    void profile.then(() => {
      isOver = true;
    });
    await logged(server, "a profile is being taken");
    expect(await ask(both[1]!, "DEBUG", "PROFILE", "0.1")).toMatch(/^-ERR a profile is being taken/);
    const busy = async (each: RespClient): Promise<void> => {
      while (!isOver) await ask(each, "EVAL", "local s = 0 for i = 1, 20000 do s = s + i % 7 end return s", "0");
    };
    await Promise.all(both.map(busy));
    const reply = await profile;
    const names = reply.type === "array" ? reply.value.map((each) => String((each as { value: unknown }).value)) : [];
    expect(names).toHaveLength(2);
    const functions = new Set<string>();
    for (const name of names) {
      expect(name).toMatch(/ferrite-cpu\.\d+\.\d+\.cpuprofile$/);
      const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(name, "utf8"));
      expect(samples).toHaveLength(timeDeltas.length);
      for (const node of nodes) functions.add(node.callFrame.functionName);
    }
    expect(functions.has("runBatch") || functions.has("process") || functions.has("receive")).toBe(true);
    for (const each of both) each.close();
  });

  test("times that make no sense are refused", async () => {
    for (const seconds of ["0", "-1", "301", "x"])
      expect(await ask(client, "DEBUG", "PROFILE", seconds)).toBe("-ERR seconds must be more than 0 and at most 300");
  });
});
