import { open, stat } from "node:fs/promises";
import { connect, createServer } from "node:net";

/** `open` flags of macOS and the BSDs: take a shared or an exclusive kernel lock, or fail if it is held. */
const O_SHLOCK = 0x10;
const O_EXLOCK = 0x20;
const O_NONBLOCK = 0x4;

export type Release = () => Promise<void>;

/**
 * Locks a folder with an object that the kernel gives to one process at a time and frees when that process ends in any
 * way: the name of a socket on Linux, of a pipe on Windows, a lock on the folder on macOS.
 * @returns undefined if any process holds the lock, this one included.
 */
export async function holdFolder(directory: string): Promise<Release | undefined> {
  const name = await lockName(directory);
  return name === undefined ? openLocked(directory, O_EXLOCK) : listen(name);
}

/** Whether a process of this host holds a folder's lock. */
export async function isFolderHeld(directory: string): Promise<boolean> {
  const name = await lockName(directory);
  if (name !== undefined) return accepts(name);
  const release = await openLocked(directory, O_SHLOCK);
  await release?.();
  return release === undefined;
}

/** Returns the lock's name, equal for all paths of a folder; undefined on systems without names bound to a process. */
async function lockName(directory: string): Promise<string | undefined> {
  const { dev, ino } = await stat(directory, { bigint: true });
  if (process.platform === "linux") return `\0aflora-run-${dev}-${ino}`;
  if (process.platform === "win32") return `\\\\.\\pipe\\aflora-run-${dev}-${ino}`;
  return undefined;
}

function listen(name: string): Promise<Release | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy()).unref();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    // Without `exclusive`, workers of a cluster would share the name.
    server.listen({ path: name, exclusive: true }, () =>
      resolve(() => new Promise((done) => server.close(() => done()))),
    );
  });
}

function accepts(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(name);
    const end = (held: boolean) => (): void => {
      connection.destroy();
      resolve(held);
    };
    connection.once("connect", end(true)).once("error", end(false));
  });
}

async function openLocked(directory: string, lock: number): Promise<Release | undefined> {
  try {
    const handle = await open(directory, lock | O_NONBLOCK);
    return () => handle.close();
  } catch (error) {
    if (["EAGAIN", "EWOULDBLOCK"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}
