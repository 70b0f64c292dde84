/** Descriptors that clients may not use: for files, listeners, event loops, the pipes of each worker, and administrators. */
import type { Config } from "../base/config/config.ts";

const FOR_ALL = 64;
const PER_WORKER = 16;

export function reservedDescriptors(config: Config): number {
  const hasAdminDoor = config.number("server.admin_port") !== 0 || config.text("server.unix_socket") !== "";
  return FOR_ALL + config.workerThreads * PER_WORKER + (hasAdminDoor ? config.number("server.admin_clients") : 0);
}
