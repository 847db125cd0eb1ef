import type { Device } from "../device.ts";

/** The processor; in a page WebAssembly. */
export const cpu: Device = {
  name: "cpu",
  provider: "cpu",
  isEverywhere: true,
  usesMainMemory: true,
  describe: ({ processor }) => ({ name: processor }),
  page: {
    name: "WebAssembly",
    isGraphicsCard: false,
    isThere: async () => true,
    load: () => import("onnxruntime-web/wasm"),
  },
};
