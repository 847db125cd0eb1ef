import { Runtime } from "./session.ts";

/**
 * A runtime over onnxruntime-web's Wasm, where "cpu" is its name too. Runs keep the calling thread, so call it in a worker.
 * @param threads counts at the first call of a page; more than one needs a page that is isolated from other origins
 */
export async function webRuntime({ threads }: { threads: number }): Promise<Runtime> {
  // Imported here, a bundler gives it a file of its own: each of its threads runs the file that it stands in.
  const onnxRuntime = await import("onnxruntime-web/wasm");
  onnxRuntime.env.wasm.numThreads = threads;
  return new Runtime(onnxRuntime, { device: "cpu", threads });
}
