/**
 * The certificate, the key and the authorities that TLS is served with: read from the configured files, checked, and made into
 * the options of a listener. The main thread reads them at the start, after SIGHUP and after CONFIG SET, and hands the result
 * to the workers, so that all of them serve the same certificate.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import type { Config } from "../base/config/config.ts";
import type { ConfigValue } from "../base/config/values.ts";
import { errorMessage, errorWords } from "../base/errors.ts";
import { FileFailure, type Files, readText } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import type { CertificateFacts, Certificates } from "../dispatch/services.ts";

/** The files cannot be used; the message says which one and why. */
export class TlsRefused extends Error {
  override readonly name: string = "TlsRefused";
}

/** Options of Bun.listen's `tls`. Plain values, so that they can be sent to another thread. */
export interface TlsListenOptions {
  readonly cert: string;
  readonly key: string;
  readonly passphrase?: string;
  readonly ca?: string[];
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
  readonly minVersion: number;
  readonly maxVersion: number;
  readonly ciphers?: string;
}

export interface TlsMaterial extends Certificates {
  readonly options: TlsListenOptions;
}

/** Keys whose change makes the files be read again. */
export const TLS_KEYS = [
  "server.tls_cert_file",
  "server.tls_key_file",
  "server.tls_key_file_pass",
  "server.tls_ca_file",
  "server.tls_ca_dir",
  "server.tls_verify_client",
  "server.tls_min_protocol_version",
  "server.tls_protocols",
  "server.tls_ciphers",
  "server.tls_ciphersuites",
] as const;

const PRIMARY_TLS = "replication.primary_tls";
const VERIFY_CLIENT = "server.tls_verify_client";

const TLS_1_2 = 0x0303;
const TLS_1_3 = 0x0304;
const TLS_VERSIONS = ["tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3"];
const TLS_SUITES = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
const CERTIFICATE = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]*-----END (?:TRUSTED )?CERTIFICATE-----/g;

/** Reads what the configuration names. Throws TlsRefused. */
export function readTls(config: Config, files: Files): TlsMaterial {
  return readTlsOf(config, files, (name) => config.get(name));
}

/** As readTls, with `valueOf` in place of the configuration's values. */
export function readTlsOf(config: Config, files: Files, valueOf: (name: string) => ConfigValue): TlsMaterial {
  const text = (name: (typeof TLS_KEYS)[number]) => String(valueOf(name));
  const certPath = text("server.tls_cert_file");
  const keyPath = text("server.tls_key_file");
  if (certPath === "") throw new TlsRefused("No tls-cert-file configured!");
  if (keyPath === "") throw new TlsRefused("No tls-key-file configured!");
  const cert = readFile(files, certPath, "certificate");
  const key = readFile(files, keyPath, "private key");
  const chain = certificatesIn(cert, certPath);
  const passphrase = text("server.tls_key_file_pass");
  checkKey(chain[0]!, readKey(key, passphrase, keyPath), keyPath);

  const verify = config.verifyClientOf(valueOf("server.tls_verify_client"));
  const authorities = readAuthorities(files, text("server.tls_ca_file"), text("server.tls_ca_dir"));
  if (verify !== "false" && authorities.length === 0)
    throw new TlsRefused(
      "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-auth-clients is enabled!",
    );
  const ciphers = text("server.tls_ciphers");
  const range = versions(text("server.tls_min_protocol_version"), text("server.tls_protocols"));
  if (range.maxVersion === TLS_1_3) checkSuites(text("server.tls_ciphersuites"));
  const options: TlsListenOptions = {
    cert,
    key,
    ...(passphrase === "" ? {} : { passphrase }),
    ...(verify === "false" ? {} : { ca: authorities.map(String) }),
    requestCert: verify !== "false",
    rejectUnauthorized: verify === "true",
    ...range,
    ...(ciphers === "" ? {} : { ciphers }),
  };
  checkContext(options);
  const first = authorities.toSorted((a, b) => Number(a.validToDate) - Number(b.validToDate))[0];
  return { options, server: factsOf(chain[0]!), authority: first === undefined ? null : factsOf(first) };
}

/** As readTlsOf, for the link to a primary: its certificate is verified as that of a client who must have one. */
export function readLinkTls(config: Config, files: Files, valueOf: (name: string) => ConfigValue): TlsListenOptions {
  return readTlsOf(config, files, (name) => (name === VERIFY_CLIENT ? "true" : valueOf(name))).options;
}

/** Makes CONFIG SET refuse settings with which TLS would not work. */
export function checkTlsSettings(config: Config, files: Files, log: Logger): void {
  config.addJointCheck({
    names: [...TLS_KEYS, PRIMARY_TLS],
    check: (valueOf) => {
      try {
        if (config.tlsPort !== 0) readTlsOf(config, files, valueOf);
        if (valueOf(PRIMARY_TLS) === true) readLinkTls(config, files, valueOf);
        return null;
      } catch (thrown) {
        if (!(thrown instanceof TlsRefused)) throw thrown;
        log.warn(thrown.message);
        return "Unable to update TLS configuration. Check server logs.";
      }
    },
  });
}

function readFile(files: Files, path: string, what: string): string {
  try {
    return readText(files, path);
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    throw new TlsRefused(`Failed to load ${what}: ${path}: ${errorWords(thrown.code)}`);
  }
}

/** All certificates of a PEM text, at least one. */
function certificatesIn(pem: string, path: string): X509Certificate[] {
  const blocks = pem.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new TlsRefused(`Failed to load certificate: ${path}: no certificate in PEM form`);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (thrown) {
    throw new TlsRefused(`Failed to load certificate: ${path}: ${errorMessage(thrown)}`);
  }
}

function readKey(pem: string, passphrase: string, path: string): KeyObject {
  try {
    return createPrivateKey(passphrase === "" ? pem : { key: pem, passphrase });
  } catch (thrown) {
    const code = (thrown as { code?: string }).code ?? "";
    const reason =
      code === "ERR_MISSING_PASSPHRASE"
        ? "it is encrypted: set tls-key-file-pass"
        : code.endsWith("BAD_DECRYPT")
          ? "tls-key-file-pass is wrong"
          : code.endsWith("NO_START_LINE")
            ? "no private key in PEM form"
            : errorMessage(thrown);
    throw new TlsRefused(`Failed to load private key: ${path}: ${reason}`);
  }
}

function checkKey(certificate: X509Certificate, key: KeyObject, path: string): void {
  if (!certificate.checkPrivateKey(key))
    throw new TlsRefused(
      `Failed to load private key: ${path}: it is not the key of the certificate (key values mismatch)`,
    );
}

function readAuthorities(files: Files, file: string, directory: string): X509Certificate[] {
  const authorities = file === "" ? [] : certificatesIn(readFile(files, file, "CA certificate(s)"), file);
  if (directory === "") return authorities;
  let names: readonly string[];
  try {
    names = files.list(directory);
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    throw new TlsRefused(`Failed to load CA certificate(s): ${directory}: ${errorWords(thrown.code)}`);
  }
  const seen = new Set(authorities.map((authority) => authority.fingerprint256));
  for (const name of names.toSorted()) {
    const path = join(directory, name);
    // A directory of authorities has links with hashed names to its files, and may have other files.
    if (files.stat(path)?.kind !== "file") continue;
    const pem = readFile(files, path, "CA certificate(s)");
    if (pem.match(CERTIFICATE) === null) continue;
    for (const authority of certificatesIn(pem, path)) {
      if (seen.has(authority.fingerprint256)) continue;
      seen.add(authority.fingerprint256);
      authorities.push(authority);
    }
  }
  return authorities;
}

/** The lowest and the highest version to offer: those of tls-protocols, or all, from tls_min_protocol_version up. */
function versions(least: string, protocols: string): { minVersion: number; maxVersion: number } {
  const words = protocols.split(/\s+/).filter((word) => word !== "");
  const named = new Set(words.map((word) => word.toLowerCase()));
  if (words.some((word) => !TLS_VERSIONS.includes(word.toLowerCase())))
    throw new TlsRefused(
      "Invalid tls-protocols specified. Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'.",
    );
  const offers = (name: string) => (named.size === 0 || named.has(name)) && name >= least;
  const offered = [...(offers("tlsv1.2") ? [TLS_1_2] : []), ...(offers("tlsv1.3") ? [TLS_1_3] : [])];
  if (offered.length === 0)
    throw new TlsRefused(
      `tls-protocols ${protocols}: only TLSv1.2 and TLSv1.3 can be offered, and none below ${least}`,
    );
  return { minVersion: offered[0]!, maxVersion: offered.at(-1)! };
}

/** The library offers all suites of TLS 1.3, so a list that leaves one out cannot be honoured. */
function checkSuites(text: string): void {
  const named = text.split(/[:\s]+/).filter((word) => word !== "");
  const missing = TLS_SUITES.find((suite) => named.length > 0 && !named.includes(suite));
  if (missing !== undefined)
    throw new TlsRefused(
      `Failed to configure ciphersuites: ${text}: TLS 1.3 always offers ${TLS_SUITES.join(", ")}. To avoid them, set tls-protocols TLSv1.2`,
    );
}

/** What the library itself refuses, such as unknown ciphers. */
function checkContext(options: TlsListenOptions): void {
  const { cert, key, passphrase, ca, ciphers } = options;
  try {
    createSecureContext({
      cert,
      key,
      ...(passphrase === undefined ? {} : { passphrase }),
      ...(ca === undefined ? {} : { ca }),
      ...(ciphers === undefined ? {} : { ciphers }),
    });
  } catch (thrown) {
    const text = errorMessage(thrown);
    throw new TlsRefused(/CIPHER/.test(text) ? `Failed to configure ciphers: ${ciphers}` : `TLS: ${text}`);
  }
}

function factsOf(certificate: X509Certificate): CertificateFacts {
  return {
    subject: certificate.subject.replaceAll("\n", ", "),
    serial: certificate.serialNumber,
    beginsMs: certificate.validFromDate.getTime(),
    expiresMs: certificate.validToDate.getTime(),
  };
}
