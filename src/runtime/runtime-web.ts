import type { Env } from "onnxruntime-common";
import { UserError } from "../errors.ts";
import { LARGEST_FILE } from "../graph/onnx-model.ts";
import type { DeviceName } from "./device.ts";
import { DEFAULT_DEVICE, DEVICES } from "./devices.ts";
import type { OnnxRuntime } from "./onnx-runtime.ts";
import { Runtime, type RuntimeOptions } from "./session.ts";
import { webThreads } from "./threads-web.ts";

/** ONNX Runtime in a page. */
interface WebOnnxRuntime extends OnnxRuntime {
  env: { wasm: Pick<Env.WebAssemblyFlags, "numThreads" | "wasmBinary" | "wasmPaths"> };
}

/** Builds of ONNX Runtime by device, so that a page loads only one. They are named here, where no bundle for Node finds them. */
const BUILDS: { [Name in DeviceName]?: () => Promise<WebOnnxRuntime> } = {
  cpu: () => import("onnxruntime-web/wasm"),
  webgpu: () => import("onnxruntime-web/webgpu"),
};

/**
 * Returns the devices that this browser supports. The first is "cpu", WebAssembly, which every browser has.
 * @example
 * ```ts
 * const [device] = await pageDevices(); // "cpu"
 * ```
 */
export async function pageDevices(): Promise<DeviceName[]> {
  const found = await Promise.all(
    DEVICES.all.map(async ({ name, page }) => ((await page?.isAvailable()) ? [name] : [])),
  );
  return found.flat();
}

/** Where a runtime without native code computes. */
export interface WebPlace {
  /** One of {@link pageDevices} (default: "cpu", which is WebAssembly). */
  device?: DeviceName | undefined;
  /** Number of threads (default: one, and in a page that is isolated from other origins all cores). */
  threads?: number | undefined;
  /**
   * ONNX Runtime's `ort-wasm-simd-threaded.wasm`: its address, its bytes, or the compiled module that a worker at the edge imports
   * (default: as onnxruntime-web or a bundler finds it). The first model of a program decides.
   */
  wasm?: string | Uint8Array | WebAssembly.Module | undefined;
}

/**
 * Creates a runtime over onnxruntime-web, on one of {@link pageDevices}. Runs block the calling thread, so call it in a
 * worker. WebAssembly uses as many threads as the page may have, or as the page's first call asked for.
 * @throws UserError if pages have no such device.
 * @example
 * ```ts
 * const runtime = await webRuntime({ device: "webgpu" });
 * ```
 */
export async function webRuntime(place: WebPlace = {}): Promise<Runtime> {
  return new Runtime(...(await openPlace(place)));
}

/** Like {@link webRuntime}, for a model that only answers: its weights are copied to WebAssembly once, not at each run. */
export async function answeringRuntime(place: WebPlace = {}): Promise<Runtime> {
  const [onnxRuntime, { device, ...others }] = await openPlace(place);
  return new Runtime(onnxRuntime, { device: { ...device, embeds: device.embeds ?? LARGEST_FILE }, ...others });
}

async function openPlace({
  device: name = DEFAULT_DEVICE.name,
  threads = webThreads(),
  wasm,
}: WebPlace): Promise<[WebOnnxRuntime, Pick<RuntimeOptions, "device" | "threads" | "openCpu">]> {
  const device = DEVICES.find(name);
  const load = BUILDS[name];
  if (!load) throw new UserError(`a page has no device "${name}"; use device "${DEFAULT_DEVICE.name}"`);
  const onnxRuntime = await load();
  const settings = onnxRuntime.env.wasm;
  settings.numThreads = threads;
  if (typeof wasm === "string") settings.wasmPaths = { wasm };
  else if (wasm instanceof Uint8Array) settings.wasmBinary = wasm;
  else if (wasm && settings.wasmBinary === undefined) {
    settings.wasmBinary = COMPILED;
    instantiateCompiled(wasm);
  }
  // The build for graphics cards has no float64 products on the CPU.
  return [
    onnxRuntime,
    { device, threads, ...(device !== DEFAULT_DEVICE && { openCpu: () => webRuntime({ threads }) }) },
  ];
}

/** Stands for the bytes of a module that is compiled already, so that ONNX Runtime fetches none. */
const COMPILED = new Uint8Array();

/** Lets ONNX Runtime instantiate a compiled module once. It can only compile bytes, which workers at the edge forbid. */
function instantiateCompiled(module: WebAssembly.Module): void {
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = (async (_bytes: BufferSource, imports?: WebAssembly.Imports) => {
    WebAssembly.instantiate = instantiate;
    return { module, instance: await instantiate(module, imports) };
  }) as typeof instantiate;
}
