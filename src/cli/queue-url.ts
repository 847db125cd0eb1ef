import { UserError } from "../errors.ts";

/** Environment variable with the queue's address. Flags, and the passwords in them, are visible in a list of processes. */
export const QUEUE_VARIABLE = "AFLORA_QUEUE";

/** Address of the queue from a flag or the environment. @throws UserError if neither has it */
export function queueUrl(flag: string | true | undefined): string {
  const url = typeof flag === "string" ? flag : process.env[QUEUE_VARIABLE];
  if (url) return url;
  throw new UserError(`where is the queue? Give its server with --queue redis://host:port, or in ${QUEUE_VARIABLE}`);
}
