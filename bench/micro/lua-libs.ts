/**
 * Cost of Lua's libraries: scripts that call one function often, compiled by us and, when it is at hand, in redis-server. Figures
 * are processor time in us per turn of the loop: of our whole process, and of the server's main thread.
 *
 * Run: npm run bench -- lua-libs [--only word[,word]]
 */
import { readFileSync } from "node:fs";
import { install } from "../../src/lua/builtins.ts";
import { compile } from "../../src/lua/compile.ts";
import { freeze } from "../../src/lua/environment.ts";
import { cjsonConstants, cjsonLibrary } from "../../src/lua/lib/cjson.ts";
import { cmsgpackLibrary } from "../../src/lua/lib/cmsgpack.ts";
import { structLibrary } from "../../src/lua/lib/struct.ts";
import { standardGlobals } from "../../src/lua/standard.ts";
import { type Builtin, LuaTable } from "../../src/lua/value.ts";
import { redisBinary, type Server, startRedis } from "../../test/support/servers.ts";
import { replyTo, type RespClient } from "../../test/support/resp.ts";

interface Row {
  readonly name: string;
  /** What happens before the loop. */
  readonly before: string;
  readonly body: string;
  readonly turns: number;
}

const DOCUMENT = JSON.stringify({
  id: "5f0c9a4e-8a0e-4d7e-9a51-000000000001",
  name: "a job of some queue",
  data: { user: 12345, email: "someone@example.org", tags: ["alpha", "beta", "gamma"], score: 12.75, active: true },
  opts: { attempts: 3, delay: 0, timestamp: 1717000000000, priority: 10, removeOnComplete: true, jobId: "12345" },
  list: Array.from({ length: 20 }, (_, i) => ({ i, v: `value ${i}` })),
  text: "lorem ipsum dolor sit amet ".repeat(8),
});

const ROWS: readonly Row[] = [
  {
    name: "match, 3 captures",
    before: "local s = '2024-05-06'",
    body: "local a, b, c = string.match(s, '(%d+)-(%d+)-(%d+)')",
    turns: 50_000,
  },
  {
    name: "match, trim",
    before: "local s = '   some text  '",
    body: "local a = string.match(s, '^%s*(.-)%s*$')",
    turns: 50_000,
  },
  {
    name: "find, plain",
    before: "local s = string.rep('a', 100) .. 'b'",
    body: "local a = string.find(s, 'b', 1, true)",
    turns: 50_000,
  },
  {
    name: "gsub, function, 80 matches",
    before: "local s = string.rep('ab1 ', 80) local function f(w) return w .. '!' end",
    body: "local r = string.gsub(s, '%a+', f)",
    turns: 2000,
  },
  {
    name: "gsub, text, 80 matches",
    before: "local s = string.rep('ab1 ', 80)",
    body: "local r = string.gsub(s, '(%a)(%a)', '%2%1')",
    turns: 2000,
  },
  {
    name: "gmatch, 40 words",
    before: "local s = string.rep('word,', 40)",
    body: "local n = 0 for w in string.gmatch(s, '[^,]+') do n = n + #w end",
    turns: 4000,
  },
  {
    name: "format, %d %s %.2f",
    before: "",
    body: "local r = string.format('%d:%s:%.2f', i, 'abc', i / 7)",
    turns: 50_000,
  },
  { name: "format, %05d %x %g", before: "", body: "local r = string.format('%05d %x %g', i, i, i / 3)", turns: 50_000 },
  { name: "tostring of a fraction", before: "", body: "local r = tostring(i / 7)", turns: 50_000 },
  { name: "tonumber", before: "", body: "local r = tonumber('1717000000123') + tonumber('12.5')", turns: 50_000 },
  {
    name: "sub, byte, char, upper",
    before: "local s = 'hello world'",
    body: "local r = s:sub(2, 5) .. string.char(s:byte(3)) .. s:upper()",
    turns: 50_000,
  },
  { name: "rep and len", before: "", body: "local r = #string.rep('ab', 50)", turns: 50_000 },
  {
    name: "concat of 200",
    before: "local t = {} for j = 1, 200 do t[j] = 'item' .. j end",
    body: "local r = #table.concat(t, ',')",
    turns: 2000,
  },
  {
    name: "concat of 200 numbers",
    before: "local t = {} for j = 1, 200 do t[j] = j * 7 end",
    body: "local r = #table.concat(t, ',')",
    turns: 2000,
  },
  {
    name: "insert and remove, 200",
    before: "",
    body: "local t = {} for j = 1, 200 do table.insert(t, j) end for j = 1, 200 do table.remove(t) end",
    turns: 1000,
  },
  {
    name: "insert at the front, 100",
    before: "",
    body: "local t = {} for j = 1, 100 do table.insert(t, 1, j) end",
    turns: 1000,
  },
  {
    name: "sort, 500 numbers",
    before: "",
    body: "local t = {} for j = 1, 500 do t[j] = j * 7919 % 503 end table.sort(t)",
    turns: 500,
  },
  {
    name: "sort, 500 numbers, by a function",
    before: "local function f(a, b) return a > b end",
    body: "local t = {} for j = 1, 500 do t[j] = j * 7919 % 503 end table.sort(t, f)",
    turns: 300,
  },
  {
    name: "sort, 200 strings",
    before: "",
    body: "local t = {} for j = 1, 200 do t[j] = 'k' .. j * 7919 % 503 end table.sort(t)",
    turns: 500,
  },
  {
    name: "math",
    before: "",
    body: "local r = math.floor(i / 3) + math.max(i, 5) + math.min(i, 7, 9) + math.random(10)",
    turns: 50_000,
  },
  { name: "cjson.decode, 1 KB", before: "", body: "local r = cjson.decode(ARGV[1])", turns: 3000 },
  {
    name: "cjson.encode, 1 KB",
    before: "local v = cjson.decode(ARGV[1])",
    body: "local r = #cjson.encode(v)",
    turns: 3000,
  },
  {
    name: "cjson, small object",
    before: "",
    body: 'local r = cjson.decode(\'{"a":1,"b":"two","c":[1,2,3]}\')',
    turns: 20_000,
  },
  {
    name: "cmsgpack.pack",
    before: "local v = {1, 2.5, 'text', {a = 1, b = 'x'}, true}",
    body: "local r = #cmsgpack.pack(v)",
    turns: 20_000,
  },
  {
    name: "cmsgpack.unpack",
    before: "local s = cmsgpack.pack({1, 2.5, 'text', {a = 1, b = 'x'}, true})",
    body: "local r = cmsgpack.unpack(s)",
    turns: 20_000,
  },
  {
    name: "struct.pack and unpack",
    before: "",
    body: "local a, b = struct.unpack('>I4h', struct.pack('>I4h', i, 7))",
    turns: 20_000,
  },
  { name: "bit", before: "", body: "local r = bit.bxor(bit.lshift(i, 3), bit.band(i, 255))", turns: 50_000 },
];

function script(row: Row): string {
  return `${row.before} for i = 1, ${row.turns} do ${row.body} end return 1`;
}

function globalsOfScripts(): LuaTable {
  const globals = standardGlobals();
  const add = (name: string, library: readonly Builtin[], constants: Readonly<Record<string, unknown>>): void => {
    const table = install(new LuaTable(), library);
    for (const [key, value] of Object.entries(constants)) table.setUnchecked(key, value);
    freeze(table);
    globals.setUnchecked(name, table);
  };
  add("cjson", cjsonLibrary, cjsonConstants);
  add("cmsgpack", cmsgpackLibrary, {});
  add("struct", structLibrary, {});
  globals.setUnchecked("ARGV", LuaTable.fromArray([DOCUMENT]));
  freeze(globals);
  return globals;
}

const ROUNDS = 7;

/** us per turn of our code, the best of some rounds. */
function ours(row: Row, globals: LuaTable): number {
  const environment = { globals, parameters: [], changing: [] };
  const chunk = compile(script(row), { chunkName: "bench", environment });
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    chunk.run();
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, user + system);
  }
  return best / row.turns;
}

/** Processor time of the server's main thread so far, in us. */
function serverTime(server: Server): number {
  const text = readFileSync(`/proc/${server.pid}/task/${server.pid}/schedstat`, "latin1");
  return Number(text.split(" ")[0]) / 1000;
}

async function theirs(row: Row, server: Server, client: RespClient): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const before = serverTime(server);
    const reply = await replyTo(client, "EVAL", script(row), 0, DOCUMENT);
    if (reply.type !== "int") throw new Error(JSON.stringify(reply));
    best = Math.min(best, serverTime(server) - before);
  }
  return best / row.turns;
}

const at = process.argv.indexOf("--only");
const words = at < 0 ? [] : (process.argv[at + 1] ?? "").split(",");
const rows = ROWS.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
const server: Server | null = redisBinary() === null ? null : await startRedis();
const client = (await server?.connect()) ?? null;
const globals = globalsOfScripts();
console.log(`${"us of CPU per turn".padEnd(36)} ${"ours".padStart(9)} ${"Redis".padStart(9)} ${"ratio".padStart(7)}`);
for (const row of rows) {
  const own = ours(row, globals);
  const other = server === null || client === null ? Number.NaN : await theirs(row, server, client);
  const ratio = (other / own).toFixed(1);
  console.log(
    `${row.name.padEnd(36)} ${own.toFixed(3).padStart(9)} ${other.toFixed(3).padStart(9)} ${ratio.padStart(7)}`,
  );
}
client?.close();
await server?.stop();
