/** Checks passwords, in a time that depends on nothing but their length. */
import { timingSafeEqual } from "node:crypto";
import type { User } from "../dispatch/user.ts";
import { passwordHash } from "./rules.ts";

/** Compared with the passwords that nobody has, so that an unknown user takes as long as a known one. */
const NOBODY = Buffer.from(passwordHash(Buffer.alloc(0)), "latin1");

/** True when `user` (null = there is no such user) may authenticate with the password that has this hash. */
export function mayAuthenticate(user: User | null, passwordHashText: string): boolean {
  const hash = Buffer.from(passwordHashText, "latin1");
  let isRight = false;
  // All are compared: the time does not tell which one was right.
  for (const one of user?.passwords ?? []) {
    if (timingSafeEqual(hash, Buffer.from(one, "latin1"))) isRight = true;
  }
  if (user === null || user.passwords.length === 0) timingSafeEqual(hash, NOBODY);
  return user?.isEnabled === true && (user.needsNoPassword || isRight);
}
