/** What `ferrite doctor` says about the certificates of TLS. */
import type { Config } from "../base/config/config.ts";
import type { Files } from "../base/files.ts";
import type { CertificateFacts } from "../dispatch/services.ts";
import { EXPIRES_SOON_MS, expiryText } from "../server/tls-control.ts";
import { readTls, TlsRefused } from "../server/tls-files.ts";
import { setMode } from "./doctor-files.ts";
import { type Finding, failure, fine, warning } from "./finding.ts";

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
    return [
      failure("tls", {
        text: thrown.message,
        meaning: "The server does not start with these files.",
        mend: "openssl x509 -noout -subject -dates -in CERTIFICATE; openssl pkey -noout -in KEY",
      }),
    ];
  }
}

function certificateFinding(what: string, certificate: CertificateFacts, nowMs: number): Finding {
  const { beginsMs, expiresMs } = certificate;
  const isValid = beginsMs <= nowMs && expiresMs > nowMs;
  const text = `${what} ${certificate.subject} ${expiryText(certificate, nowMs)}`;
  if (isValid && expiresMs - nowMs >= EXPIRES_SOON_MS) return fine("tls", text);
  const report = isValid ? warning : failure;
  return report("tls", {
    text,
    meaning: isValid ? "Clients refuse it from that day on." : "Clients refuse it.",
    mend: "put a new certificate in its place, then: kill -HUP $(pidof ferrite)",
  });
}

function keyFindings(path: string, files: Files): Finding[] {
  const mode = files.stat(path)?.mode ?? 0;
  if ((mode & OTHERS) === 0) return [];
  return [
    warning("tls", {
      text: `private key ${path} can be used by every user of this machine (mode ${mode.toString(8)})`,
      meaning: "Whoever has the key can pretend to be this server.",
      mend: `chmod o= ${path}`,
      repair: () => setMode(files, path, mode & ~OTHERS),
    }),
  ];
}
