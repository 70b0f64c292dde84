/**
 * CPU time of Lua code here and in Debian's lua5.1, in the same run: loops, calls, strings and tables, and what a text costs when
 * it is compiled and run once.
 *
 *   bun bench/micro/lua.ts
 *
 * Each script runs warm, many times; the best of several rounds counts. The times of both sides are CPU time of the process.
 */
import { compile } from "../../src/lua/compile.ts";
import { freeze } from "../../src/lua/environment.ts";
import { ScriptCompiler } from "../../src/lua/scripts.ts";
import { standardGlobals } from "../../src/lua/standard.ts";

const SCRIPTS: readonly (readonly [name: string, repeats: number, text: string])[] = [
  ["10,000 additions", 200, "local s = 0 for i = 1, 10000 do s = s + i end return s"],
  [
    "while with % and if, 10,000",
    100,
    "local i, n = 0, 0 while i < 10000 do i = i + 1 if i % 3 == 0 then n = n + 1 end end return n",
  ],
  ["fib(20)", 50, "local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end return fib(20)"],
  ["string of 200 numbers", 200, "local s = '' for i = 1, 200 do s = s .. tostring(i) .. ',' end return #s"],
  [
    "table insert and read, 1,000",
    200,
    "local t = {} for i = 1, 1000 do t[#t + 1] = i end local s = 0 for i, v in ipairs(t) do s = s + v end return s",
  ],
  ["table.insert, 1,000", 200, "local t = {} for i = 1, 1000 do table.insert(t, i) end return #t"],
  [
    "hash of 1,000 built keys and pairs",
    50,
    "local t = {} for i = 1, 1000 do t['k' .. i] = i end local s = 0 for k, v in pairs(t) do s = s + v end return s",
  ],
  [
    "objects with methods, 1,000",
    100,
    "local C = {} C.__index = C function C:add(n) self.n = self.n + n return self end local o = setmetatable({n = 0}, C) for i = 1, 1000 do o:add(i) end return o.n",
  ],
  ["methods of strings, 1,000", 100, "local n, s = 0, 'abc' for i = 1, 1000 do n = n + s:len() end return n"],
  [
    "closures, 1,000",
    100,
    "local function counter() local n = 0 return function() n = n + 1 return n end end local s = 0 for i = 1, 1000 do local c = counter() c() s = s + c() end return s",
  ],
  [
    "pcall of an error, 100",
    50,
    "local n = 0 for i = 1, 100 do if not pcall(error, 'x') then n = n + 1 end end return n",
  ],
  [
    "1,000 yields",
    50,
    "local c = coroutine.wrap(function() for i = 1, 1000 do coroutine.yield(i) end end) local s = 0 for i = 1, 1000 do s = s + c() end return s",
  ],
];

const ROUNDS = 7;
/** Runs before the first round, so that the optimizing compilers are done. */
const WARM_UP = 400;

function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function best(measure: () => number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) least = Math.min(least, measure());
  return least;
}

const globals = standardGlobals();
freeze(globals);
const environment = { globals, parameters: [], changing: [] };

function ours(text: string, repeats: number): number {
  const chunk = compile(text, { chunkName: "user_script", environment });
  for (let i = 0; i < WARM_UP; i++) chunk.run();
  return best(() => {
    const start = cpuMicros();
    for (let i = 0; i < repeats; i++) chunk.run();
    return (cpuMicros() - start) / repeats;
  });
}

function theirs(text: string, repeats: number): number {
  const driver = `local f = loadstring(${JSON.stringify(text)}) local best = 1e9 for round = 1, ${ROUNDS} do
local start = os.clock() for i = 1, ${repeats} do f() end best = math.min(best, (os.clock() - start) / ${repeats}) end print(best * 1e6)`;
  return Number(Bun.spawnSync(["lua5.1", "-e", driver]).stdout.toString());
}

/** Microseconds for a text that was never seen before, to its first results. `run` compiles and runs it. */
function firstRun(makeText: (i: number) => string, run: (text: string) => unknown): number {
  let next = 0;
  for (; next < 500; next++) run(makeText(next));
  return best(() => {
    const start = cpuMicros();
    for (let i = 0; i < 300; i++) run(makeText(next++));
    return (cpuMicros() - start) / 300;
  });
}

/** As it is without shapes, and with them: all these texts have one shape. */
function measureNewTexts(name: string, makeText: (i: number) => string): void {
  const alone = firstRun(makeText, (text) => compile(text, { chunkName: "user_script", environment }).run());
  const scripts = new ScriptCompiler({ chunkName: "user_script", environment }, 500);
  const shaped = firstRun(makeText, (text) => scripts.compile(text).run());
  const figures = `${alone.toFixed(1).padStart(8)} us   of a known shape ${shaped.toFixed(2).padStart(6)} us`;
  console.log(`new text: ${name.padEnd(28)} ${figures}`);
}

for (const [name, repeats, text] of SCRIPTS) {
  const us = ours(text, repeats);
  const lua = theirs(text, repeats);
  console.log(
    `${name.padEnd(38)} ${us.toFixed(1).padStart(8)} us   lua5.1 ${lua.toFixed(1).padStart(8)} us   ${(us / lua).toFixed(2)}`,
  );
}
measureNewTexts("return i", (i) => `return ${i}`);
const LIMITER = `local now, cap, rate = 17, 100, 5 local t = {tokens = 50, last = 10}
local tokens = math.min(cap, t.tokens + math.max(0, now - t.last) * rate) local allowed = 0
if tokens >= 1 then tokens = tokens - 1 allowed = 1 end t.tokens = tokens t.last = now return allowed, `;
measureNewTexts("token bucket", (i) => LIMITER + i);
