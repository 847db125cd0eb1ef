import { LARGEST_FILE } from "../../graph/onnx-model.ts";
import type { Device } from "../device.ts";
import { graphicsCard } from "./graphics-card.ts";

/** The part of the WebGPU API used here, which TypeScript's types lack. */
interface Gpu {
  requestAdapter(): Promise<{ info?: { isFallbackAdapter?: boolean }; isFallbackAdapter?: boolean } | null>;
}

/** A GPU through WebGPU, in Node and in pages. */
export const webgpu: Device = {
  name: "webgpu",
  provider: "webgpu",
  embeds: LARGEST_FILE,
  lost: /wgpu::MapAsyncStatus|device (was|is) lost/i,
  plainOps: new Set(["FusedMatMul", "LogLikelihood", "LogSoftmax", "Sign"]),

  /** ONNX Runtime does not report its adapter. On Linux, the system's files do, once a session exists. */
  describe(system) {
    if (system.platform !== "linux") return {};
    const drivers = system.read("/proc/self/maps");
    const emulator = /libvulkan_lvp/.test(drivers)
      ? "lavapipe"
      : /swiftshader/i.test(drivers)
        ? "SwiftShader"
        : undefined;
    const real =
      system.list("/dev/dri").some((name) => name.startsWith("renderD")) ||
      /lib(GLX_nvidia|nvidia-gpucomp)/.test(drivers);
    if (!real && emulator) return { name: emulator, software: true };
    const name = graphicsCard(system);
    return { ...(name && { name }), ...(real && { software: false }) };
  },

  page: {
    name: "WebGPU",
    isGraphicsCard: true,
    /** A software adapter does not count: it is slower than WebAssembly. */
    async isAvailable() {
      const { gpu } = navigator as { gpu?: Gpu };
      const adapter = (await gpu?.requestAdapter().catch(() => null)) ?? undefined;
      // Some browsers have the flag on the adapter.
      return adapter !== undefined && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
    },
  },
};
