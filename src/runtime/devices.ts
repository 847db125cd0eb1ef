import { UserError } from "../errors.ts";
import { Registry } from "../registry.ts";
import type { Device, DeviceName } from "./device.ts";
import { cpu } from "./devices/cpu.ts";
import { cuda } from "./devices/cuda.ts";
import { webgpu } from "./devices/webgpu.ts";

/** Every device: a new one is one file and one line here, and its name in `Devices`. */
export const DEVICES = new Registry<Device, DeviceName>("device", [cpu, webgpu, cuda]);

/** The device where none is named, and in whose place another may be missing. */
export const DEFAULT_DEVICE = cpu;

/**
 * Makes a device of the caller's own known by its name, to this process: options take it.
 * @throws UserError where the name is taken.
 */
export const registerDevice = (device: Device): void => DEVICES.register(device);

/** @throws UserError where a device does not take a base model in this format. */
export function requireBaseFormat({ name, baseFormats }: Device, format: string): void {
  if (!baseFormats || baseFormats.includes(format)) return;
  throw new UserError(
    `device "${name}" takes a base model in ${baseFormats.join(" or ")}, not ${format}; give another --base, or --device ${DEFAULT_DEVICE.name}`,
  );
}
