import { UserError } from "../errors.ts";
import type { DeviceName } from "./device.ts";
import { DEFAULT_DEVICE, DEVICES } from "./devices.ts";
import { Runtime } from "./session.ts";
import { webThreads } from "./threads-web.ts";

/** Devices that this browser has: first "cpu", WebAssembly, which all have. */
export async function pageDevices(): Promise<DeviceName[]> {
  const found = await Promise.all(DEVICES.all.map(async ({ name, page }) => ((await page?.isThere()) ? [name] : [])));
  return found.flat();
}

/**
 * A runtime over onnxruntime-web, on one of {@link pageDevices}. Runs keep the calling thread, so call it in a worker. WebAssembly has
 * as many threads as the page may have, or those of the first call of a page.
 * @throws UserError where pages have no such device.
 */
export async function webRuntime({
  device: name = DEFAULT_DEVICE.name,
  threads = webThreads(),
}: {
  device?: DeviceName;
  threads?: number;
} = {}): Promise<Runtime> {
  const device = DEVICES.find(name);
  if (!device.page) throw new UserError(`a page has no device "${name}"; use device "${DEFAULT_DEVICE.name}"`);
  const onnxRuntime = await device.page.load();
  onnxRuntime.env.wasm.numThreads = threads;
  return new Runtime(onnxRuntime, { device, threads });
}
