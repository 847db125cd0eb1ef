import { freemem, totalmem } from "node:os";

/**
 * Bytes that this process may still take: what the machine has free and, in a container, what that allows. Other
 * processes of the container are not seen.
 */
export function availableMemory(): number {
  const used = process.memoryUsage.rss();
  const [all, limit] = [totalmem(), process.constrainedMemory()];
  // macOS counts as free only what nothing was ever read into.
  const free = process.platform === "darwin" ? all - used : freemem();
  // 0, or more than there is, where there is no limit.
  return limit > 0 && limit < all ? Math.max(0, Math.min(free, limit - used)) : free;
}
