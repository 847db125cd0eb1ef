import type { ServerType } from "@hono/node-server";
import { opt, UserError } from "../errors.ts";

/** Hosts in requests to a local server. Pages of other sites whose name resolves to 127.0.0.1 still send that name. */
export const LOOPBACK = /^(127(\.\d{1,3}){3}|localhost|\[::1\])(:\d+)?$/i;

/** Whether a server on this address answers this machine alone. */
export const isLoopback = (host: string): boolean => /^(127(\.\d{1,3}){3}|::1|localhost)$/i.test(host);

/** The URL of a server, whose address is in brackets if it has colons. */
export const urlAt = (host: string, port: number): string =>
  `http://${host.includes(":") ? `[${host}]` : host}:${port}`;

/**
 * Listens on 127.0.0.1, or on another address of this machine.
 * @param doing purpose of the port, and `remedy` the advice if it cannot be used, for the error message
 * @returns the port
 * @throws UserError if the port cannot be used
 */
export async function listen(
  server: ServerType,
  port: number,
  { host = "127.0.0.1", doing = "listen", remedy = `give another ${opt("port")}, or 0 for a free one` } = {},
): Promise<number> {
  const refusal = (what: string): UserError => new UserError(`can't ${doing} on port ${port}${what}; ${remedy}`);
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw refusal(", which is not a port");
  await new Promise<void>((resolve, reject) => {
    server.once("error", ({ code }: NodeJS.ErrnoException) => reject(refusal(` of ${host} (${code})`)));
    server.listen({ host, port }, resolve);
  });
  const address = server.address();
  return typeof address === "object" && address ? address.port : port;
}

/** Stops listening. */
export async function close(server: ServerType): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  // A client that does not read its answer must not keep the program from ending.
  const impatience = setTimeout(() => "closeAllConnections" in server && server.closeAllConnections(), 1000);
  await closed;
  clearTimeout(impatience);
}
