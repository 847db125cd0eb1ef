import { type Device, Runtime } from "./session.ts";
import { webThreads } from "./threads-web.ts";

/** Devices of a page: "cpu" is Wasm, as ONNX Runtime names it. */
export type WebDevice = Exclude<Device, "cuda">;

/**
 * A runtime over onnxruntime-web. Runs keep the calling thread, so call it in a worker.
 * @param device where to compute; "webgpu" needs a browser that has it ({@link hasWebGpu})
 * @param threads of Wasm, as many as the page may have where absent; counts at the first call of a page
 */
export async function webRuntime({
  device = "cpu",
  threads = webThreads(),
}: {
  device?: WebDevice;
  threads?: number;
} = {}): Promise<Runtime> {
  // Imported here, a bundler gives each a file of its own: each of its threads runs the file that it stands in.
  const onnxRuntime = await (device === "cpu" ? import("onnxruntime-web/wasm") : import("onnxruntime-web/webgpu"));
  onnxRuntime.env.wasm.numThreads = threads;
  return new Runtime(onnxRuntime, { device, threads });
}

/** The part of a browser's WebGPU that is asked here; TypeScript's own types have none. */
interface Gpu {
  requestAdapter(): Promise<{ info: { isFallbackAdapter?: boolean } } | null>;
}

/** Whether the browser has WebGPU on a graphics card, and not on software that imitates one, slower than Wasm. */
export async function hasWebGpu(): Promise<boolean> {
  const { gpu } = navigator as { gpu?: Gpu };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  return adapter !== undefined && adapter !== null && !adapter.info.isFallbackAdapter;
}
