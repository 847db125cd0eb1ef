import { Runtime } from "./session.ts";
import { webThreads } from "./threads-web.ts";

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
