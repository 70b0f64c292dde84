/**
 * Loading of an append-only file: runs its commands in an engine, as those of a client that reads no reply. In slices, so
 * that the thread's event loop turns meanwhile: memory regions are announced there, and clients hear that it loads.
 */
import { SERVER_ITSELF } from "../dispatch/user.ts";
import type { FileDescriptor, Files } from "../base/files.ts";
import { soon } from "../base/soon.ts";
import { LoadShare } from "../dispatch/load-share.ts";
import { Client, type ClientHost } from "./client.ts";
import type { Engine } from "./engine.ts";
import type { LoadProgress } from "./load-progress.ts";

const BLOCK_BYTES = 256 << 10;
/** A slice ends after so long, ms. */
const SLICE_MS = 5;

/** What is to be loaded: the commands behind the preamble, without those between the pairs of `skips`. */
export interface LoadRequest {
  readonly path: string;
  /** Length of the RDB preamble; 0 = none. */
  readonly preamble: number;
  readonly bytes: number;
  readonly skips: readonly number[];
  /** Memory through which the workers agree that load it together (dispatch/load-share.ts). */
  readonly shares: SharedArrayBuffer;
  readonly workers: number;
}

export interface LoadResult {
  readonly commands: number;
  /** Commands that replied an error, and what the first of them replied. */
  readonly errors: number;
  readonly firstError: string;
}

export class AofLoad {
  private readonly client: Client;
  private readonly file: FileDescriptor;
  private readonly block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  private at = 0;
  private skip = 0;
  private readonly share: LoadShare;
  private firstError = "";
  private errors = 0;
  private readonly onError: (text: string) => void;

  constructor(
    private readonly engine: Engine,
    host: ClientHost,
    private readonly files: Files,
    private readonly request: LoadRequest,
    worker: number,
    /** Told of the progress, null = nobody is. */
    private readonly progress: LoadProgress | null,
  ) {
    this.share = new LoadShare(request.shares, worker, request.workers);
    engine.dispatcher.loadShare = this.share;

    this.file = files.open(request.path, "r", 0);
    const transport = {
      write: (_bytes: Uint8Array, _offset: number, length: number) => length,
      end: () => {},
      terminate: () => {},
    };
    this.client = new Client(0, engine, transport, host);
    this.client.session.deniesBlocking = true;
    this.client.session.isLoader = true;
    this.client.session.authenticateAs(SERVER_ITSELF);
    this.at = request.preamble;
    this.onError = engine.reply.onError;
    engine.reply.onError = (text) => this.noteError(text);
    engine.noteLoading();
  }

  /** Counts what a command of the file replies; other clients get errors too, LOADING above all. */
  private noteError(text: string): void {
    this.onError(text);
    if (!this.engine.call.session.isLoader) return;
    this.errors++;
    if (this.firstError === "") this.firstError = text;
  }

  /** Runs commands for some milliseconds. Returns false when all are done. Throws FileFailure. */
  slice(): boolean {
    const { engine, client, request } = this;
    const until = engine.clock.monotonicMs() + SLICE_MS;
    this.progress?.note(engine.clock.monotonicMs(), this.at, request.bytes);
    while (!client.isSuspended) {
      if (this.at >= request.bytes) return false;
      if (engine.clock.monotonicMs() >= until) return true;
      this.feed();
    }
    return true;
  }

  /** Loads all of it between turns of the event loop, each slice within `guard`. */
  run(guard: (work: () => void) => void, done: (result: LoadResult) => void): void {
    const next = (): void =>
      guard(() => {
        if (this.slice()) soon(next);
        else done(this.finish());
      });
    next();
  }

  private feed(): void {
    const { request, block } = this;
    const { skips } = request;
    if (skips[this.skip] === this.at) {
      this.at = skips[this.skip + 1]!;
      this.skip += 2;
      return;
    }
    const end = Math.min(skips[this.skip] ?? request.bytes, this.at + block.length);
    const got = this.files.read(this.file, block, 0, end - this.at, this.at);
    if (got === 0) throw new Error(`${request.path} became shorter while it was loaded`);
    this.at += got;
    this.client.receive(block.subarray(0, got));
  }

  /** Ends the loading. Keys expire when the main thread says that it is over: their removal is to be logged. */
  finish(): LoadResult {
    const { client } = this;
    this.files.close(this.file);
    this.engine.reply.onError = this.onError;
    this.share.finish();
    const { commands } = this.share;
    this.engine.dispatcher.loadShare = null;
    client.disconnected();
    return { commands, errors: this.errors, firstError: this.firstError };
  }
}
