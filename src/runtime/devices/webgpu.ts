import { LARGEST_FILE } from "../../graph/onnx-model.ts";
import type { Device } from "../device.ts";
import { graphicsCard } from "./graphics-card.ts";

/** The part of a browser's WebGPU that is asked here; TypeScript's own types have none. */
interface Gpu {
  requestAdapter(): Promise<{ info?: { isFallbackAdapter?: boolean }; isFallbackAdapter?: boolean } | null>;
}

/** A graphics card by WebGPU, in Node and in pages. */
export const webgpu: Device = {
  name: "webgpu",
  provider: "webgpu",
  embeds: LARGEST_FILE,
  lost: /wgpu::MapAsyncStatus|device (was|is) lost/i,
  plainOps: new Set(["FusedMatMul", "LogLikelihood", "LogSoftmax", "Sign"]),

  /** ONNX Runtime does not tell which adapter it took: the system's own files do, on Linux, once a session is there. */
  describe(system) {
    if (system.platform !== "linux") return {};
    const drivers = system.read("/proc/self/maps");
    const imitation = /libvulkan_lvp/.test(drivers)
      ? "lavapipe"
      : /swiftshader/i.test(drivers)
        ? "SwiftShader"
        : undefined;
    const real =
      system.list("/dev/dri").some((name) => name.startsWith("renderD")) ||
      /lib(GLX_nvidia|nvidia-gpucomp)/.test(drivers);
    if (!real && imitation) return { name: imitation, software: true };
    const name = graphicsCard(system);
    return { ...(name && { name }), ...(real && { software: false }) };
  },

  page: {
    name: "WebGPU",
    isGraphicsCard: true,
    /** Software that imitates a graphics card does not count: it is slower than WebAssembly. */
    async isThere() {
      const { gpu } = navigator as { gpu?: Gpu };
      const adapter = (await gpu?.requestAdapter().catch(() => null)) ?? undefined;
      // Some browsers have it on the adapter itself.
      return adapter !== undefined && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
    },
    load: () => import("onnxruntime-web/webgpu"),
  },
};
