/**
 * The TLS listeners of a worker, and the handshakes that are under way.
 *
 * A listener of Bun keeps the certificate that it was made with. New ones are served by another listener of Bun over the same
 * socket, by a duplicate of its descriptor:
 *
 *   the kernel's socket ──┬── descriptor ── listener with the old certificate      closed once the new one listens
 *                         └── duplicate  ── listener with the new certificate
 *
 * The socket and the connections that wait in it never close, so no client is refused. Connections that are there keep theirs.
 * Where descriptors cannot be duplicated (no bun:ffi) the new listener has a socket of its own on the same port, and the old
 * one goes on for REPLACE_MS, so that what waits in it is accepted.
 */
import type { TCPSocketListener, TCPSocketListenOptions } from "bun";
import type { Client } from "./client.ts";
import type { NativeSockets } from "./native-sockets.ts";
import type { TlsListenOptions } from "./tls-files.ts";

type Handlers = TCPSocketListenOptions<Client>["socket"];

/** Time in which a handshake must be complete, ms. */
export const HANDSHAKE_MS = 10_000;
/** How long a replaced listener with a socket of its own goes on. */
const REPLACE_MS = 200;

interface Place {
  readonly hostname: string;
  readonly port: number;
  listener: TCPSocketListener<Client>;
}

export class TlsListeners {
  private readonly places: Place[] = [];

  constructor(
    private readonly native: NativeSockets | null,
    private readonly handlers: Handlers,
  ) {}

  /** Listens on an address. Throws what Bun.listen throws. */
  open(hostname: string, port: number, tls: TlsListenOptions): void {
    const listener = listen({ hostname, port, reusePort: true, tls, socket: this.handlers });
    this.places.push({ hostname, port, listener });
  }

  /** Serves new connections with other certificates. */
  renew(tls: TlsListenOptions): void {
    for (const place of this.places) {
      const old = place.listener;
      const descriptor = (old as { readonly fd?: number }).fd ?? -1;
      const copy = descriptor < 0 || this.native === null ? -1 : this.native.duplicate(descriptor);
      if (copy >= 0) {
        place.listener = listen({ fd: copy, tls, socket: this.handlers });
        old.stop(false);
        continue;
      }
      const { hostname, port } = place;
      place.listener = listen({ hostname, port, reusePort: true, tls, socket: this.handlers });
      setTimeout(() => old.stop(false), REPLACE_MS);
    }
  }

  stop(): void {
    for (const { listener } of this.places) listener.stop(false);
  }
}

/** Bun.listen with options that the types of Bun 1.4.5 lack: fd, reusePort, and the versions of TLS. */
function listen(options: object): TCPSocketListener<Client> {
  return Bun.listen<Client>(options as TCPSocketListenOptions<Client>);
}
