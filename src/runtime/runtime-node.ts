import { availableParallelism } from "node:os";
import * as onnxRuntime from "onnxruntime-node";
import { UserError } from "../errors.ts";
import type { DeviceName } from "./device.ts";
import { DEFAULT_DEVICE, DEVICES } from "./devices.ts";
import { Runtime } from "./session.ts";

/** Devices of the installed ONNX Runtime build. */
export function availableDevices(): DeviceName[] {
  const providers = onnxRuntime.listSupportedBackends().map(({ name }) => name);
  return DEVICES.all.filter(({ provider }) => providers.includes(provider)).map(({ name }) => name);
}

/**
 * A runtime over onnxruntime-node.
 * @throws UserError where there is no such device, or the installed build of ONNX Runtime does not have it.
 */
export function nodeRuntime({
  device: name = DEFAULT_DEVICE.name,
  threads = availableParallelism(),
}: {
  device?: DeviceName;
  threads?: number;
} = {}): Runtime {
  const device = DEVICES.find(name);
  const available = availableDevices();
  if (!available.includes(name)) {
    throw new UserError(`device "${name}" is not in this build of ONNX Runtime; it has ${available.join(" and ")}`);
  }
  const here = device.usesMainMemory === true;
  return new Runtime(onnxRuntime, { device, threads, writesInPlace: here, packs: here });
}

/** Version of ONNX Runtime. */
export const onnxRuntimeVersion = (): string => onnxRuntime.env.versions.node ?? onnxRuntime.env.versions.common;
