import { UserError } from "../errors.ts";
import type { DeviceName } from "./device.ts";
import { DEFAULT_DEVICE, DEVICES } from "./devices.ts";
import type { OnnxRuntime } from "./onnx-runtime.ts";
import { Runtime } from "./session.ts";
import { webThreads } from "./threads-web.ts";

/** ONNX Runtime in a page. */
interface WebOnnxRuntime extends OnnxRuntime {
  env: { wasm: { numThreads?: number } };
}

/** Builds of ONNX Runtime by device, so that a page loads only one. They are named here, where no bundle for Node finds them. */
const BUILDS: { [Name in DeviceName]?: () => Promise<WebOnnxRuntime> } = {
  cpu: () => import("onnxruntime-web/wasm"),
  webgpu: () => import("onnxruntime-web/webgpu"),
};

/** Returns the devices that this browser supports. The first is "cpu", WebAssembly, which every browser has. */
export async function pageDevices(): Promise<DeviceName[]> {
  const found = await Promise.all(
    DEVICES.all.map(async ({ name, page }) => ((await page?.isAvailable()) ? [name] : [])),
  );
  return found.flat();
}

/**
 * Creates a runtime over onnxruntime-web, on one of {@link pageDevices}. Runs block the calling thread, so call it in a
 * worker. WebAssembly uses as many threads as the page may have, or as the page's first call asked for.
 * @throws UserError if pages have no such device.
 */
export async function webRuntime({
  device: name = DEFAULT_DEVICE.name,
  threads = webThreads(),
}: {
  device?: DeviceName;
  threads?: number;
} = {}): Promise<Runtime> {
  const device = DEVICES.find(name);
  const load = BUILDS[name];
  if (!load) throw new UserError(`a page has no device "${name}"; use device "${DEFAULT_DEVICE.name}"`);
  const onnxRuntime = await load();
  onnxRuntime.env.wasm.numThreads = threads;
  return new Runtime(onnxRuntime, { device, threads });
}
