/** What `ferrite doctor` says about the certificates of TLS. */
import type { Config } from "../base/config/config.ts";
import type { Files } from "../base/files.ts";
import type { CertificateFacts } from "../dispatch/services.ts";
import { EXPIRES_SOON_MS, expiryText } from "../server/tls-control.ts";
import { readTls, TlsRefused } from "../server/tls-files.ts";
import type { Finding } from "./finding.ts";

/** Permission bits of others than the owner and the group. */
const OTHERS = 0o007;

export function checkTls(config: Config, files: Files, nowMs: number): Finding[] {
  if (config.tlsPort === 0) return [];
  try {
    const { server, authority } = readTls(config, files);
    return [
      certificateFinding("certificate", server, nowMs),
      ...(authority === null ? [] : [certificateFinding("certificate authority", authority, nowMs)]),
      ...keyFindings(config.text("server.tls_key_file"), files),
    ];
  } catch (thrown) {
    if (!(thrown instanceof TlsRefused)) throw thrown;
    return [{ check: "tls", level: "error", text: thrown.message }];
  }
}

function certificateFinding(what: string, certificate: CertificateFacts, nowMs: number): Finding {
  const { beginsMs, expiresMs } = certificate;
  const isValid = beginsMs <= nowMs && expiresMs > nowMs;
  const level = !isValid ? "error" : expiresMs - nowMs < EXPIRES_SOON_MS ? "warning" : "ok";
  return { check: "tls", level, text: `${what} ${certificate.subject} ${expiryText(certificate, nowMs)}` };
}

function keyFindings(path: string, files: Files): Finding[] {
  const mode = files.stat(path)?.mode ?? 0;
  if ((mode & OTHERS) === 0) return [];
  return [
    {
      check: "tls",
      level: "warning",
      text: `private key ${path} can be used by every user of this machine (mode ${mode.toString(8)}): chmod o= ${path}`,
    },
  ];
}
