import type { Redis } from "ioredis";
import { z } from "zod";
import { opt, UserError, withCode } from "../../errors.ts";
import { importInstalled } from "../../files/installed-package-node.ts";

/** Milliseconds to wait for a server's answer. */
const PATIENCE = 10_000;
/** Maximum number of characters of a line that is shown. */
const LONGEST = 1000;

/** A line of text that is safe for a terminal: anybody can write to the server, escape sequences too. */
export const line = z.string().transform((text) => text.slice(0, LONGEST).replace(/\p{Cc}+/gu, " "));

/** Loads the client, which users of a queue install. @throws UserError if it is not installed */
async function loadClient(): Promise<typeof Redis> {
  try {
    return (await importInstalled<typeof import("ioredis")>("ioredis")).Redis;
  } catch {
    throw new UserError("a queue needs a package that is not installed; install it with: npm install ioredis", {
      code: "missing-package",
    });
  }
}

/** A connection to a server that answered. */
export interface ServerConnection {
  /** Reconnects automatically; commands wait until then. */
  client: Redis;
  /** Address of the server without its password, for messages. */
  address: string;
}

/**
 * Connects to a server that speaks Redis's protocol.
 * @param url `redis://[user:password@]host:port[/database]`, or `rediss://` for TLS
 * @param onNote receives a note if the server later refuses the password: the client waits until it takes it again
 * @param connectionName by which the server lists this connection
 * @throws UserError if the address is invalid, no server answers, the server is of another kind, or it may evict keys
 */
export async function connect(
  url: string,
  onNote?: (note: string) => void,
  connectionName?: string,
): Promise<ServerConnection> {
  const address = addressOf(url);
  const Client = await loadClient();
  await withCode("network", probe(new Client(url, { ...ONCE, lazyConnect: true }), address));
  const client = ignoringErrors(new Client(url, { ...RETRYING, ...(connectionName && { connectionName }) }));
  let isNoted = false;
  client.on("error", ({ message }: Error) => {
    if (isNoted || !REFUSED.test(message)) return;
    isNoted = true;
    onNote?.(
      `the server at ${address} no longer accepts the password: restore the old one, or stop this command and start it again with the new one`,
    );
  });
  return { client, address };
}

/** Opens a separate connection for blocking reads. */
export const connectAgain = (client: Redis): Redis => ignoringErrors(client.duplicate({ connectionName: "" }));

function ignoringErrors(client: Redis): Redis {
  client.on("error", () => {});
  return client;
}

/** Whether a server answers now. */
export const answers = (client: Redis): Promise<boolean> =>
  within(PATIENCE, client.ping()).then(
    () => true,
    () => false,
  );

/** @throws UserError if the server refuses to store more */
export async function unlessFull<T>(address: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    // A transaction that is aborted has the reasons beside it.
    const { message, previousErrors = [] } = error as Error & { previousErrors?: Error[] };
    if (![message, ...previousErrors.map((each) => each.message)].some((each) => /OOM|maxmemory/.test(each)))
      throw error;
    throw new UserError(
      `the queue's server at ${address} is full; give it more memory (maxmemory) or remove what it holds`,
    );
  }
}

/** Awaits a promise, unless the signal aborts first. @throws the signal's reason */
export async function unlessAborted<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return answer;
  signal.throwIfAborted();
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
  });
  return Promise.race([answer, aborted]).finally(() => signal.removeEventListener("abort", stop));
}

/** A broken connection is retried without a limit. */
const RETRYING = { maxRetriesPerRequest: null, connectTimeout: PATIENCE };
const ONCE = { maxRetriesPerRequest: 1, connectTimeout: PATIENCE, retryStrategy: () => null };

function addressOf(url: string): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new UserError(
      `${opt("queue")} takes the address of a Valkey or Redis server, such as redis://127.0.0.1:6379; not "${url.replace(/^([a-z]+:\/\/)?.*@/s, "$1***@")}"`,
    );
  }
  if (parsed.protocol !== "redis:" && parsed.protocol !== "rediss:") {
    throw new UserError(
      `${opt("queue")} takes an address that begins with redis:// or rediss:// (TLS), not ${parsed.protocol}//`,
    );
  }
  return `${parsed.protocol}//${parsed.host}`;
}

/** Tries to connect once, and checks the server's settings. */
async function probe(client: Redis, address: string): Promise<void> {
  let failure: Error | undefined;
  client.on("error", (error: Error) => {
    failure ??= error;
  });
  try {
    await within(PATIENCE, client.connect());
    const policy = /^maxmemory_policy:(\S+)/m.exec(await within(PATIENCE, client.info()))?.[1];
    if (policy !== undefined && policy !== "noeviction") {
      throw new UserError(
        `the server at ${address} may evict data (maxmemory-policy ${policy}); set maxmemory-policy noeviction`,
      );
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw unreachable(failure ?? (error as Error), address);
  } finally {
    client.disconnect();
  }
}

/** Words of a server that wants another password. */
const REFUSED = /WRONGPASS|NOAUTH|NOPERM|invalid password/i;

function unreachable({ message }: Error, address: string): UserError {
  if (REFUSED.test(message)) {
    return new UserError(
      `the server at ${address} wants another password; give it in the address, as redis://:password@host:port`,
    );
  }
  if (/certificate/i.test(message)) {
    return new UserError(
      `the certificate of the server at ${address} is not trusted here (${message}); name the file of its authority in NODE_EXTRA_CA_CERTS`,
    );
  }
  if (/Protocol error|unexpected/i.test(message)) {
    return new UserError(`the server at ${address} is neither Valkey nor Redis; check the address`);
  }
  return new UserError(`no Valkey or Redis server answers at ${address} (${message}); start one, or check the address`);
}

function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${milliseconds / 1000} s`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
