import type { Device } from "../device.ts";

/** The CPU; in a page, WebAssembly. */
export const cpu: Device = {
  name: "cpu",
  provider: "cpu",
  isEverywhere: true,
  usesMainMemory: true,
  describe: ({ processor }) => ({ name: processor }),
  page: {
    name: "WebAssembly",
    isGraphicsCard: false,
    isAvailable: async () => true,
  },
};
