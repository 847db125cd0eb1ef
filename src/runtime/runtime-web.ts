import { type Device, Runtime } from "./session.ts";
import { webThreads } from "./threads-web.ts";

/** Devices of a page: "cpu" is Wasm, as ONNX Runtime names it. */
export type WebDevice = Exclude<Device, "cuda">;

/**
 * A runtime over onnxruntime-web, on Wasm or, where the browser has it ({@link hasWebGpu}), WebGPU. Runs keep the calling thread, so
 * call it in a worker. Wasm has as many threads as the page may have, or those of the first call of a page.
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
  requestAdapter(): Promise<{ info?: { isFallbackAdapter?: boolean }; isFallbackAdapter?: boolean } | null>;
}

/** Whether the browser has WebGPU on a graphics card, and not on software that imitates one, slower than Wasm. */
export async function hasWebGpu(): Promise<boolean> {
  const { gpu } = navigator as { gpu?: Gpu };
  const adapter = (await gpu?.requestAdapter().catch(() => null)) ?? undefined;
  // Earlier browsers have it on the adapter itself.
  return adapter !== undefined && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
}
