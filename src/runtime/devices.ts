import { opt, UserError } from "../errors.ts";
import { Registry } from "../registry.ts";
import type { Device, DeviceName } from "./device.ts";
import { cpu } from "./devices/cpu.ts";
import { cuda } from "./devices/cuda.ts";
import { webgpu } from "./devices/webgpu.ts";

/** All devices. A new one is one file, one line here, and its name in `Devices`. */
export const DEVICES = new Registry<Device, DeviceName>("device", [cpu, webgpu, cuda]);

/** The default device, which also replaces a missing one. */
export const DEFAULT_DEVICE = cpu;

/**
 * Registers a device in this process, so that options accept its name.
 * @throws UserError if the name is taken.
 */
export const registerDevice = (device: Device): void => DEVICES.register(device);

/** @throws UserError if a device does not support base models in this format. */
export function requireBaseFormat({ name, baseFormats }: Device, format: string): void {
  if (!baseFormats || baseFormats.includes(format)) return;
  throw new UserError(
    `device "${name}" takes a base model in ${baseFormats.join(" or ")}, not ${format}; give another ${opt("base")}, or ${opt("device")} ${DEFAULT_DEVICE.name}`,
  );
}
