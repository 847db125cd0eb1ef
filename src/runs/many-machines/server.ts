import type { Redis } from "ioredis";
import { z } from "zod";
import { UserError } from "../../errors.ts";

/** Milliseconds in which a server answers, or is taken for none. */
const PATIENCE = 10_000;
/** Characters of a line that are shown. */
const LONGEST = 1000;

/** A line of text for a terminal, not too long: what a server holds may be anybody's, escape sequences too. */
export const line = z.string().transform((text) => text.slice(0, LONGEST).replace(/\p{Cc}+/gu, " "));

/** BullMQ and its client, which who wants a server installs. @throws UserError where they are not there. */
export async function loadBullmq(): Promise<typeof import("bullmq") & { Client: typeof Redis }> {
  try {
    const [bullmq, { Redis: Client }] = await Promise.all([import("bullmq"), import("ioredis")]);
    return { ...bullmq, Client };
  } catch {
    throw new UserError("a queue needs packages that are not installed; install them with: npm install bullmq ioredis");
  }
}

/** A connection to a server that answered. */
export interface ServerConnection {
  /** Connects again by itself; what cannot be done meanwhile waits. */
  client: Redis;
  /** The server without its password, for messages. */
  address: string;
}

/**
 * Connects to a server that speaks Redis's protocol.
 * @param url `redis://[user:password@]host:port[/database]`, or `rediss://` over TLS
 * @throws UserError where it is no such address, nobody answers there, it is another kind of server, or one that may
 * drop what it holds.
 */
export async function connect(url: string): Promise<ServerConnection> {
  const address = addressOf(url);
  const { Client } = await loadBullmq();
  await probe(new Client(url, { ...ONCE, lazyConnect: true }), address);
  return { client: another(new Client(url, PATIENTLY)), address };
}

/** A connection of its own for what waits there. */
export const connectAgain = (client: Redis): Redis => another(client.duplicate());

function another(client: Redis): Redis {
  client.on("error", () => {});
  return client;
}

/** Whether a server answers now. */
export const answers = (client: Redis): Promise<boolean> =>
  within(PATIENCE, client.ping()).then(
    () => true,
    () => false,
  );

/** @throws UserError in place of the server's refusal to store more. */
export async function unlessFull<T>(address: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!/OOM|maxmemory/.test(String((error as Error).message))) throw error;
    throw new UserError(
      `the queue's server at ${address} is full; give it more memory (maxmemory) or remove what it holds`,
    );
  }
}

/** A connection that breaks is made again for as long as it takes. */
const PATIENTLY = { maxRetriesPerRequest: null, connectTimeout: PATIENCE };
const ONCE = { maxRetriesPerRequest: 1, connectTimeout: PATIENCE, retryStrategy: () => null };

/** How a worker connects. */
export const connectionOf = (url: string) => ({ url, ...PATIENTLY });

function addressOf(url: string): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new UserError(
      `--queue takes the address of a Valkey or Redis server, such as redis://127.0.0.1:6379; not "${url.replace(/^([a-z]+:\/\/)?.*@/s, "$1***@")}"`,
    );
  }
  if (parsed.protocol !== "redis:" && parsed.protocol !== "rediss:") {
    throw new UserError(
      `--queue takes an address that begins with redis:// or rediss:// (TLS), not ${parsed.protocol}//`,
    );
  }
  return `${parsed.protocol}//${parsed.host}`;
}

/** One try to connect, and what the server says of itself. */
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
        `the server at ${address} may drop what it holds (maxmemory-policy ${policy}); set maxmemory-policy noeviction`,
      );
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw unreachable(failure ?? (error as Error), address);
  } finally {
    client.disconnect();
  }
}

function unreachable({ message }: Error, address: string): UserError {
  if (/WRONGPASS|NOAUTH|NOPERM|invalid password/i.test(message)) {
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
