import { open, stat } from "node:fs/promises";
import { connect, createServer } from "node:net";

/** `open` flags of macOS and the BSDs: take the lock that is the kernel's, shared or alone, or fail where it is held. */
const O_SHLOCK = 0x10;
const O_EXLOCK = 0x20;
const O_NONBLOCK = 0x4;

/** Gives a folder back. */
export type Release = () => Promise<void>;

/**
 * Holds a folder by what the kernel gives to one process at a time and takes back when that ends, however it ends: a
 * socket's name on Linux, a pipe's on Windows, a lock on the folder on macOS.
 * @returns undefined where somebody holds it, this process included.
 */
export async function holdFolder(directory: string): Promise<Release | undefined> {
  const name = await nameOf(directory);
  return name === undefined ? openLocked(directory, O_EXLOCK) : listen(name);
}

/** Whether a process of this host holds a folder. */
export async function isFolderHeld(directory: string): Promise<boolean> {
  const name = await nameOf(directory);
  if (name !== undefined) return answers(name);
  const release = await openLocked(directory, O_SHLOCK);
  await release?.();
  return release === undefined;
}

/** The same for every path of the folder; undefined where the system has no names that go with their process. */
async function nameOf(directory: string): Promise<string | undefined> {
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
    // Exclusive: workers of a cluster would share it.
    server.listen({ path: name, exclusive: true }, () =>
      resolve(() => new Promise((done) => server.close(() => done()))),
    );
  });
}

function answers(name: string): Promise<boolean> {
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
