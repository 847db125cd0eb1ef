import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Collects what nothing reads any more. */
export function collectGarbage(): void {
  collect();
  // Buffers that a collection finds are freed beside this thread, some time; the next one waits for that.
  collect();
}

/** Bytes of this process but for JavaScript's own objects, whose heap grows and shrinks as the engine likes. */
export function memoryInUse(): number {
  collectGarbage();
  const { rss, heapTotal } = process.memoryUsage();
  return rss - heapTotal;
}
