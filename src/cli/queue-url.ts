import { UserError } from "../errors.ts";

/** Where the queue is, where no flag says so: flags show in a list of processes, with passwords. */
export const QUEUE_VARIABLE = "AFLORA_QUEUE";

/** The queue's address, as a flag or the environment has it. @throws UserError where neither does. */
export function queueUrl(flag: string | true | undefined): string {
  const url = typeof flag === "string" ? flag : process.env[QUEUE_VARIABLE];
  if (url) return url;
  throw new UserError(`where is the queue? Give its server with --queue redis://host:port, or in ${QUEUE_VARIABLE}`);
}
