/**
 * Certificates for tests, made by the openssl command line in a temporary directory: authorities, and certificates that they
 * have signed. A missing openssl is loud, and a failure under CI=true.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** False, said loudly, when openssl is missing. Fails under CI=true. */
export function requireOpenssl(): boolean {
  if (Bun.which("openssl") !== null) return true;
  const message = "openssl is missing: the tests of TLS DID NOT RUN (install openssl)";
  if (process.env["CI"] === "true") throw new Error(message);
  console.error(`\n${"!".repeat(message.length)}\n${message}\n${"!".repeat(message.length)}\n`);
  return false;
}

/** Runs openssl. Throws with what it printed when it fails. */
function openssl(...args: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...args]);
  if (exitCode !== 0) throw new Error(`openssl ${args.join(" ")}: ${stderr.toString()}`);
}

const EC_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** Paths of a certificate and its key. */
export interface Signed {
  readonly cert: string;
  readonly key: string;
}

export class Certificates {
  readonly directory = mkdtempSync(join(tmpdir(), "ferrite-test-tls-"));

  path(name: string): string {
    return join(this.directory, name);
  }

  /** A certificate authority: NAME.crt and NAME.key. */
  authority(name: string): Signed {
    const made = { cert: this.path(`${name}.crt`), key: this.path(`${name}.key`) };
    openssl("req", "-x509", ...EC_KEY, "-keyout", made.key, "-out", made.cert, "-days", "3650", "-subj", `/CN=${name}`);
    return made;
  }

  /** A certificate for `name` and the hosts. `days` may be negative: it has expired then. */
  signed(name: string, authority: Signed, days = 90, file = name, hosts = "DNS:localhost,IP:127.0.0.1"): Signed {
    const made = { cert: this.path(`${file}.crt`), key: this.path(`${file}.key`) };
    const request = this.path(`${file}.csr`);
    const extensions = this.path(`${file}.ext`);
    writeFileSync(extensions, `subjectAltName=${hosts}\n`);
    openssl("req", ...EC_KEY, "-keyout", made.key, "-out", request, "-subj", `/CN=${name}`);
    const from = ["-in", request, "-CA", authority.cert, "-CAkey", authority.key, "-CAcreateserial"];
    openssl("x509", "-req", ...from, "-out", made.cert, "-days", String(days), "-extfile", extensions);
    return made;
  }

  /** The key of `signed`, encrypted with a password. */
  encryptKey(signed: Signed, password: string): string {
    const path = `${signed.key}.encrypted`;
    openssl("ec", "-aes256", "-passout", `pass:${password}`, "-in", signed.key, "-out", path);
    return path;
  }

  /** A directory with these files in it. */
  directoryOf(name: string, ...paths: string[]): string {
    const directory = this.path(name);
    mkdirSync(directory);
    for (const [i, path] of paths.entries()) writeFileSync(join(directory, `${i}.pem`), readFileSync(path));
    return directory;
  }

  /** As directoryOf, with the names by which OpenSSL finds authorities. */
  hashedDirectoryOf(name: string, ...paths: string[]): string {
    const directory = this.directoryOf(name, ...paths);
    openssl("rehash", directory);
    return directory;
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
