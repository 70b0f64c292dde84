import type { Socket } from "bun";
import type { Transport } from "../client-output.ts";

/** The means of transport that a socket of Bun is. */
export function transportOf(socket: Socket<unknown>): Transport {
  return {
    write: (bytes, offset, length) => socket.write(bytes, offset, length),
    end: () => socket.end(),
    terminate: () => socket.terminate(),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
  };
}
