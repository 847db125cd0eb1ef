import { Runtime } from "./session.ts";

/** Threads beyond which small products gain nothing. */
const MOST_THREADS = 8;

/** Threads that Wasm may have here: one for each core where the page is isolated from other origins, else a single one. */
export const webThreads = (): number =>
  globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;

/**
 * A runtime over onnxruntime-web's Wasm, where "cpu" is its name too. Runs keep the calling thread, so call it in a worker.
 * @param threads as many as the page may have where absent; counts at the first call of a page
 */
export async function webRuntime({ threads = webThreads() }: { threads?: number } = {}): Promise<Runtime> {
  // Imported here, a bundler gives it a file of its own: each of its threads runs the file that it stands in.
  const onnxRuntime = await import("onnxruntime-web/wasm");
  onnxRuntime.env.wasm.numThreads = threads;
  return new Runtime(onnxRuntime, { device: "cpu", threads });
}
