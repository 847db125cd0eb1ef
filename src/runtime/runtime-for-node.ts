import { checkOptions } from "../errors.ts";
import { computeOptions } from "./compute-options.ts";
import type { DeviceName } from "./device.ts";
import { nodeRuntime } from "./runtime-node.ts";
import type { Runtime } from "./session.ts";

/** Creates a command's runtime. @throws UserError if an option is malformed, or the device is not available. */
export function runtimeFor(given: { device?: DeviceName | undefined; threads?: number | undefined }): Runtime {
  const { device, threads } = checkOptions(computeOptions, given);
  return nodeRuntime({ device, ...(threads !== undefined && { threads }) });
}
