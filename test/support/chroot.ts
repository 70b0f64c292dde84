/** Runs a shell script in a chroot that is this machine's root, copy on write (test/packaging/chroot.sh). Needs root. */
import { join } from "node:path";
import { ROOT } from "./servers.ts";

export interface ChrootRun {
  readonly code: number;
  /** Lines of standard output, without blanks at their ends. */
  readonly lines: string[];
  /** Everything it printed. */
  readonly text: string;
}

/** False, said loudly, where a chroot cannot be made. Fails under CI=true. */
export function requireChroot(): boolean {
  if (process.platform === "linux" && process.getuid?.() === 0 && Bun.which("dpkg") !== null) return true;
  const message = "no root, or no Debian: the tests of the package and the image DID NOT RUN";
  if (process.env["CI"] === "true") throw new Error(message);
  console.error(`\n${"!".repeat(message.length)}\n${message}\n${"!".repeat(message.length)}\n`);
  return false;
}

/** Runs `script`, to which `folder` is /tmp/given. What it starts dies with it. */
export async function inChroot(script: string, folder: string, args: readonly string[]): Promise<ChrootRun> {
  const enter = join(ROOT, "test/packaging/chroot.sh");
  const namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"];
  const child = Bun.spawn([...namespaces, "bash", enter, script, folder, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  const lines = out
    .trim()
    .split("\n")
    .map((line) => line.trimEnd());
  return { code, lines, text: `${out}${err}` };
}
