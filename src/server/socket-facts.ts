/** What is known of a socket: its descriptor, the addresses of its ends, the certificate of its client. */

/** Descriptor of a socket or listener, which Bun has and its types lack; -1 = it is not known. */
export function descriptorOf(socket: object): number {
  return (socket as { readonly fd?: number }).fd ?? -1;
}

/** The certificate that the client has shown; null = none. */
export function certificateOf(socket: object): { subject?: { CN?: string } } | null {
  const found = (
    socket as { getPeerCertificate?: () => { subject?: { CN?: string } } | undefined }
  ).getPeerCertificate?.();
  return found === undefined || found === null || Object.keys(found).length === 0 ? null : found;
}

export function addressText(address: string | undefined, port: number | undefined): string {
  const host = address ?? "?";
  return host.includes(":") ? `[${host}]:${port ?? 0}` : `${host}:${port ?? 0}`;
}

export function isLoopback(address: string | undefined): boolean {
  return (
    address !== undefined && (address.startsWith("127.") || address === "::1" || address.startsWith("::ffff:127."))
  );
}
