/**
 * Profiles of one worker: snapshots of its heap, and samples of where its time goes, in the form of Chrome's developer tools.
 *
 *   ferrite-heap.<pid>.<n>.heapsnapshot   ferrite-cpu.<pid>.<n>.cpuprofile        in server.profile_dir
 *
 * A snapshot shows all strings of the heap, keys and passwords among them, so only the server's user can read the file. The
 * worker serves nobody while it writes a snapshot, and serves clients as usual while samples are taken.
 */
import type { Session as InspectorSession } from "node:inspector";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import { errorMessage } from "../base/errors.ts";
import { FileFailure, type Files, writeFully } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import type { ProfileFile, ProfileRequest } from "../dispatch/services.ts";

/** Between two samples, microseconds. */
const INTERVAL_MICROS = 1000;
/** Names that are tried until one is free. */
const NAMES_MAX = 10_000;

export class Profiles {
  private next: number;
  private isSampling = false;

  constructor(
    worker: number,
    private readonly workers: number,
    private readonly config: Config,
    private readonly files: Files,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {
    this.next = worker + 1;
  }

  run(request: ProfileRequest, done: (file: ProfileFile) => void): void {
    if (request.kind === "heap") return done(this.heap());
    if (this.isSampling) return done({ path: "", failure: "a profile is being taken" });
    this.isSampling = true;
    this.log.info("a profile is being taken", { duration_ms: request.ms });
    this.sample(request.ms)
      .then((text) => this.write("cpu", "cpuprofile", text))
      .catch((thrown: unknown) => ({ path: "", failure: errorMessage(thrown) }))
      .then((file) => {
        this.isSampling = false;
        if (file.failure === "") this.log.info("profile written", { path: file.path });
        else this.log.error("profile_failed", `no profile: ${file.failure}`);
        done(file);
      });
  }

  /** Writes a snapshot of the heap. */
  heap(): ProfileFile {
    const beganMs = this.clock.monotonicMs();
    const file = this.write("heap", "heapsnapshot", Bun.generateHeapSnapshot("v8"));
    const fields = { path: file.path, duration_ms: Math.round(this.clock.monotonicMs() - beganMs) };
    if (file.failure !== "") this.log.error("profile_failed", `no heap snapshot: ${file.failure}`);
    else this.log.info("heap snapshot written: it shows keys and passwords", fields);
    return file;
  }

  private async sample(ms: number): Promise<string> {
    const { Session } = await import("node:inspector");
    const session = new Session();
    session.connect();
    try {
      await post(session, "Profiler.enable", {});
      await post(session, "Profiler.setSamplingInterval", { interval: INTERVAL_MICROS });
      await post(session, "Profiler.start", {});
      await new Promise((resolve) => setTimeout(resolve, ms));
      const { profile } = (await post(session, "Profiler.stop", {})) as { profile: unknown };
      return JSON.stringify(profile);
    } finally {
      session.disconnect();
    }
  }

  /** Writes a file under the next free name. */
  private write(kind: string, extension: string, text: string): ProfileFile {
    const directory = this.config.text("server.profile_dir");
    for (let tries = 0; tries < NAMES_MAX; tries++) {
      const path = join(directory, `ferrite-${kind}.${process.pid}.${this.next}.${extension}`);
      this.next += this.workers;
      try {
        // Never over a file, or through a link, that somebody has put there.
        const file = this.files.open(path, "wx", 0o600);
        try {
          writeFully(this.files, file, Buffer.from(text));
        } finally {
          this.files.close(file);
        }
        return { path, failure: "" };
      } catch (thrown) {
        if (!(thrown instanceof FileFailure)) throw thrown;
        if (thrown.code !== "EEXIST") return { path: "", failure: thrown.message };
      }
    }
    return { path: "", failure: `no free name in ${directory}` };
  }
}

function post(session: InspectorSession, method: string, parameters: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    session.post(method, parameters, (error, result) => (error === null ? resolve(result) : reject(error)));
  });
}
