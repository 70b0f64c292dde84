/** Which arguments of a command are secrets, for the commands that show them to other clients (SLOWLOG, MONITOR). */
import { isSecretParameter } from "../base/config/redis.ts";
import type { Call } from "./call.ts";

/** True when argument `i` of the command of `call` must not be shown. */
export function isSecretArgument(call: Call, i: number): boolean {
  switch (call.spec.name) {
    case "AUTH":
      return i > 0;
    case "HELLO":
      return (i > 2 && isAuth(call, i - 1)) || (i > 3 && isAuth(call, i - 2));
    case "CONFIG|SET":
      return i > 2 && i % 2 === 1 && isSecretParameter(call.argText(i - 1));
    case "ACL|SETUSER":
      return i > 1;
    default:
      return false;
  }
}

function isAuth(call: Call, i: number): boolean {
  return call.argText(i).toLowerCase() === "auth";
}
