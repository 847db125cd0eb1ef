import type { ServerType } from "@hono/node-server";
import { UserError } from "../errors.ts";

/** Hosts by which a server of this machine alone is asked. A page elsewhere whose name was made to point at 127.0.0.1 still sends that name. */
export const LOOPBACK = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/i;

/**
 * Listens on 127.0.0.1 alone.
 * @param doing what the port is for, and `remedy` what to do where it cannot be had, for the error message
 * @returns the port
 * @throws UserError where it cannot be had.
 */
export async function listen(
  server: ServerType,
  port: number,
  { doing = "listen", remedy = "give another --port, or 0 for a free one" } = {},
): Promise<number> {
  const refusal = (what: string): UserError => new UserError(`can't ${doing} on port ${port}${what}; ${remedy}`);
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw refusal(", which is not a port");
  await new Promise<void>((resolve, reject) => {
    server.once("error", ({ code }: NodeJS.ErrnoException) => reject(refusal(` of 127.0.0.1 (${code})`)));
    server.listen({ host: "127.0.0.1", port }, resolve);
  });
  const address = server.address();
  return typeof address === "object" && address ? address.port : port;
}

/** Listens no more. */
export async function close(server: ServerType): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  // A client that takes no answer must not keep the program from ending.
  const impatience = setTimeout(() => "closeAllConnections" in server && server.closeAllConnections(), 1000);
  await closed;
  clearTimeout(impatience);
}
