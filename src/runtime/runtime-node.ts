import { availableParallelism } from "node:os";
import * as onnxRuntime from "onnxruntime-node";
import { UserError } from "../errors.ts";
import { DEVICES, type Device, Runtime } from "./session.ts";

/** Devices of the installed ONNX Runtime build. */
export function availableDevices(): Device[] {
  const names = onnxRuntime.listSupportedBackends().map(({ name }) => name);
  return DEVICES.filter((device) => names.includes(device));
}

/**
 * A runtime over onnxruntime-node.
 * @throws UserError where the installed build of ONNX Runtime has no such device.
 */
export function nodeRuntime({
  device = "cpu",
  threads = availableParallelism(),
}: {
  device?: Device;
  threads?: number;
} = {}): Runtime {
  const available = availableDevices();
  if (!available.includes(device)) {
    throw new UserError(`device "${device}" is not in this build of ONNX Runtime; it has ${available.join(" and ")}`);
  }
  return new Runtime(onnxRuntime, { device, threads, writesInPlace: device === "cpu" });
}

/** Version of ONNX Runtime. */
export const onnxRuntimeVersion = (): string => onnxRuntime.env.versions.node ?? onnxRuntime.env.versions.common;
