/**
 * TLS of the main thread: reads the certificates, hands them to the workers, reads them again when asked to, and says in the
 * log when one is about to expire.
 */
import type { Clock } from "../base/clock.ts";
import type { Config, ConfigChange } from "../base/config/config.ts";
import { StartupError } from "../base/errors.ts";
import type { Files } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import type { CertificateFacts } from "../dispatch/services.ts";
import { readTls, TLS_KEYS, type TlsMaterial, TlsRefused } from "./tls-files.ts";

const DAY_MS = 86_400_000;
/** A certificate that expires within this time is a warning, once a day. */
export const EXPIRES_SOON_MS = 30 * DAY_MS;
/** How often the days are counted. */
const LOOK_EVERY_MS = 600_000;

export class TlsControl {
  private lookedMs = -Infinity;

  private constructor(
    private current: TlsMaterial | null,
    private readonly config: Config,
    private readonly files: Files,
    private readonly clock: Clock,
    private readonly log: Logger,
    private readonly send: (material: TlsMaterial) => void,
  ) {}

  /** Reads the certificates, if TLS is on. `send` hands new ones to all workers. Throws StartupError. */
  static open(
    config: Config,
    files: Files,
    clock: Clock,
    log: Logger,
    send: (material: TlsMaterial) => void,
  ): TlsControl {
    return new TlsControl(config.tlsPort === 0 ? null : readAtStart(config, files), config, files, clock, log, send);
  }

  /** What is served now; null = TLS is off. */
  get served(): TlsMaterial | null {
    return this.current;
  }

  /** Begins to watch the dates. */
  begin(): void {
    if (this.current === null) return;
    this.look();
    setInterval(() => this.look(), LOOK_EVERY_MS).unref();
  }

  /** Serves the changed settings. The worker that ran CONFIG SET has checked them. */
  changed(changes: readonly ConfigChange[]): void {
    const names: readonly string[] = TLS_KEYS;
    if (changes.some(({ name }) => names.includes(name))) this.reload("CONFIG SET");
  }

  /** Reads the files again. When they cannot be used, the old certificates stay. */
  reload(why: string): void {
    if (this.current === null) return;
    try {
      this.current = readTls(this.config, this.files);
    } catch (thrown) {
      if (!(thrown instanceof TlsRefused)) throw thrown;
      this.log.error("tls_reload_failed", `${why}: ${thrown.message}; the certificates are unchanged`);
      return;
    }
    this.send(this.current);
    const { server } = this.current;
    this.log.info(`${why}: TLS certificates loaded: ${server.subject}, ${expiryText(server, this.clock.wallMs())}`);
    this.lookedMs = -Infinity;
    this.look();
  }

  /** Logs what expires soon, once a day. */
  private look(): void {
    const now = this.clock.wallMs();
    if (this.current === null || now - this.lookedMs < DAY_MS) return;
    this.lookedMs = now;
    const { server, authority } = this.current;
    this.judge("certificate", server, now);
    if (authority !== null) this.judge("certificate authority", authority, now);
  }

  private judge(what: string, certificate: CertificateFacts, now: number): void {
    const text = `TLS ${what} ${certificate.subject} ${expiryText(certificate, now)}`;
    if (certificate.expiresMs <= now) this.log.error("certificate_expired", text);
    else if (certificate.expiresMs - now < EXPIRES_SOON_MS || certificate.beginsMs > now) this.log.warn(text);
  }
}

function readAtStart(config: Config, files: Files): TlsMaterial {
  try {
    return readTls(config, files);
  } catch (thrown) {
    if (!(thrown instanceof TlsRefused)) throw thrown;
    throw new StartupError("Failed to configure TLS", [thrown.message], 1);
  }
}

/** "expires in 12 days (2026-12-29)" */
export function expiryText({ beginsMs, expiresMs }: CertificateFacts, nowMs: number): string {
  const date = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  if (beginsMs > nowMs) return `is not valid before ${new Date(beginsMs).toISOString()}`;
  const days = Math.floor(Math.abs(expiresMs - nowMs) / DAY_MS);
  const count = days === 1 ? "1 day" : `${days} days`;
  return expiresMs > nowMs
    ? `expires in ${count} (${date(expiresMs)})`
    : `has expired ${count} ago (${date(expiresMs)})`;
}
