import { freemem, totalmem } from "node:os";

/**
 * Returns the bytes that this process can still allocate: the machine's free memory, and in a container at most the
 * rest of its limit. It does not see other processes of the container.
 */
export function availableMemory(): number {
  const used = process.memoryUsage.rss();
  const [all, limit] = [totalmem(), process.constrainedMemory()];
  // macOS reports as free only memory that was never used.
  const free = process.platform === "darwin" ? all - used : freemem();
  // Without a limit, Node reports 0 or more than the machine has.
  return limit > 0 && limit < all ? Math.max(0, Math.min(free, limit - used)) : free;
}
