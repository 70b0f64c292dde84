/**
 * Goal:   the container image starts a server for every form of its command line, without root, and says when it is well.
 * Method: read the last stage of the Dockerfile, make it in a chroot and run its entry point (image-life.sh). Docker itself is
 *         not needed: the stage has no more than files, a user, variables and commands.
 */
import { afterAll, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { inChroot, requireChroot } from "../support/chroot.ts";
import { freePort, ROOT } from "../support/servers.ts";

const TIMEOUT_MS = 300_000;
const folder = mkdtempSync(join(tmpdir(), "ferrite-image-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The instructions of each stage: name and text, with continued lines joined. */
function stagesOf(dockerfile: string): [string, string][][] {
  const stages: [string, string][][] = [];
  for (const line of dockerfile
    .replace(/^#.*\n/gm, "")
    .replace(/\\\n/g, "")
    .split("\n")) {
    if (line.trim() === "") continue;
    const [name, ...rest] = line.split(" ");
    if (name === "FROM") stages.push([]);
    stages.at(-1)!.push([name!, rest.join(" ").trim()]);
  }
  return stages;
}

const stages = stagesOf(readFileSync(join(ROOT, "scripts/packaging/docker/Dockerfile"), "utf8"));
const last = stages.at(-1)!;
const all = (name: string): string[] => last.filter(([each]) => each === name).map(([, text]) => text);
const one = (name: string): string => {
  expect(all(name)).toHaveLength(1);
  return all(name)[0]!;
};

test("nothing is built or downloaded in the last stage, and it does not run as root", () => {
  for (const text of all("RUN")) expect(text).not.toMatch(/apt|npm|node|bun|curl|wget/);
  expect(one("USER")).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  expect(last.findIndex(([name]) => name === "USER")).toBeLessThan(last.findIndex(([name]) => name === "ENTRYPOINT"));
  expect(one("HEALTHCHECK")).toContain('CMD ["ferrite", "health"');
});

test.if(requireChroot())(
  "its entry point serves options, redis-server, configuration files and commands",
  async () => {
    // The user's number may be taken on this machine.
    const user = one("USER").replaceAll("999", "64999");
    const sources: Record<string, string> = { "/src/dist/ferrite": "dist/ferrite" };
    mkdirSync(join(folder, "files"));
    for (const text of all("COPY")) {
      const source = text.replace("--from=build ", "").split(" ")[0]!;
      copyFileSync(join(ROOT, sources[source] ?? source), join(folder, "files", basename(source)));
    }
    const words = (text: string): string => (JSON.parse(text) as string[]).map((word) => `${word}\n`).join("");
    const variables = [
      ...all("ENV")
        .join(" ")
        .matchAll(/(\w+)=(?:"([^"]*)"|(\S+))/g),
    ];
    const files: Record<string, string> = {
      "run.sh": all("RUN").join("\n").replaceAll("999", "64999"),
      env: [
        ...variables.map(([, name, quoted, plain]) => `${name}=${quoted ?? plain}`),
        "FERRITE_METRICS_ENABLED=false",
      ]
        .map((line) => `${line}\n`)
        .join(""),
      entrypoint: words(one("ENTRYPOINT")),
      healthcheck: words(one("HEALTHCHECK").replace(/^.*? CMD /, "")),
      user,
      workdir: one("WORKDIR"),
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const port = await freePort();
    const { code, lines, text } = await inChroot(join(import.meta.dir, "image-life.sh"), folder, [String(port)]);
    if (code !== 0) throw new Error(text);
    expect(lines).toEqual([
      "options: user 64999, OK, ferrite",
      "redis-server: value, 1 line",
      "stopped: unhealthy",
      "redis.conf: value, from elsewhere PONG",
      "command: hello",
    ]);
  },
  TIMEOUT_MS,
);
