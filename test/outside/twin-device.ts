import { type Device, registerDevice } from "../../src/extend.ts";

declare module "../../src/extend.ts" {
  interface Devices {
    twin: Device;
  }
}

/** A made-up device: the processor under another name, which takes no base model in 4 bits and is given no large one. */
export const twin: Device = {
  name: "twin",
  provider: "cpu",
  embeds: 1_000_000,
  baseFormats: ["float32", "int8"],
  describe: ({ processor }) => ({ name: `${processor}, once more` }),
};

registerDevice(twin);
