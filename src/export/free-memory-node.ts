import { setImmediate as turn } from "node:timers/promises";
import { MessageChannel } from "node:worker_threads";
import type { Tensor } from "../graph/tensor.ts";
import { collectGarbage } from "../runtime/collect-garbage-node.ts";

/** Bytes from which an array is worth it; small ones of a file may share memory. */
const LARGE = 2 ** 20;

/**
 * Gives back the memory of tensors that nobody reads any more. V8 would keep it for as long as it sees no need of its own, and does not
 * see what ONNX Runtime takes beside it: so the arrays are sent to where they are thrown away.
 */
export async function freeMemory(tensors: Iterable<Tensor>): Promise<void> {
  const buffers = new Set([...tensors].map(({ data }) => data.buffer as ArrayBuffer));
  const { port1, port2 } = new MessageChannel();
  for (const buffer of buffers) {
    if (buffer.byteLength < LARGE) continue;
    try {
      port1.postMessage(undefined, [buffer]);
    } catch {
      // What ONNX Runtime made cannot be sent: it goes when it is collected.
    }
  }
  port1.close();
  port2.close();
  // Ports end with a turn of the event loop, and what they hold with them.
  await turn();
  await turn();
  // What was made while files were written.
  collectGarbage();
}
