import { setImmediate as turn } from "node:timers/promises";
import { MessageChannel } from "node:worker_threads";
import type { Tensor } from "../graph/tensor.ts";
import { collectGarbage } from "../runtime/collect-garbage-node.ts";

const LARGE = 2 ** 20;

/**
 * Frees the memory of unused tensors. V8 would keep it until it needs memory itself, and does not see ONNX Runtime's needs. So this sends
 * the arrays to a port that drops them.
 */
export async function freeMemory(tensors: Iterable<Tensor>): Promise<void> {
  const buffers = new Set([...tensors].map(({ data }) => data.buffer as ArrayBuffer));
  const { port1, port2 } = new MessageChannel();
  for (const buffer of buffers) {
    if (buffer.byteLength < LARGE) continue;
    try {
      port1.postMessage(undefined, [buffer]);
    } catch {
      // Arrays of ONNX Runtime cannot be transferred: garbage collection frees them.
    }
  }
  port1.close();
  port2.close();
  // Ports close with a turn of the event loop, and free their messages.
  await turn();
  await turn();
  // Frees objects from writing the files.
  collectGarbage();
}
