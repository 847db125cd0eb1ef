import { checkOptions } from "../errors.ts";
import type { DeviceName } from "../runtime/device.ts";
import { nodeRuntime } from "../runtime/runtime-node.ts";
import type { Runtime } from "../runtime/session.ts";
import { computeOptions } from "./run-config.ts";

/** The runtime that a command computes with. @throws UserError where an option is malformed, or the device is not there. */
export function runtimeFor(given: { device?: DeviceName | undefined; threads?: number | undefined }): Runtime {
  const { device, threads } = checkOptions(computeOptions, given);
  return nodeRuntime({ device, ...(threads !== undefined && { threads }) });
}
