import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { opt, UserError } from "../errors.ts";
import type { CompiledGraph } from "./compiled-graph.ts";
import type { DeviceFacts, DeviceName, System } from "./device.ts";
import { DEFAULT_DEVICE } from "./devices.ts";
import { availableDevices, nodeRuntime } from "./runtime-node.ts";
import type { Runtime } from "./session.ts";

/** A device of the installed ONNX Runtime build, after a test on this machine. */
export interface FoundDevice extends DeviceFacts {
  device: DeviceName;
  usable: boolean;
  /** Why it cannot be used, if it cannot. */
  reason?: string;
}

/** A tested device with its session: some drivers compile nothing more after the last session was released. */
export interface OpenDevice extends FoundDevice {
  session: CompiledGraph;
}

/** Tests every device of the installed build. */
export async function findDevices(): Promise<FoundDevice[]> {
  const found: FoundDevice[] = [];
  for (const device of availableDevices()) {
    try {
      const { session, ...facts } = await openDevice(nodeRuntime({ device, threads: 1 }));
      await session.release();
      found.push(facts);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      found.push({ device, usable: false, reason: error.message });
    }
  }
  return found;
}

/**
 * Tests a runtime's device with a graph of one sum.
 * @returns its description, with a session that the caller releases at the end
 * @throws UserError if it cannot be used on this machine.
 */
export async function openDevice(runtime: Runtime): Promise<OpenDevice> {
  const { device } = runtime;
  const session = await runtime.probe();
  return { device: device.name, usable: true, session, ...device.describe?.(thisSystem()) };
}

/** Returns a note about a device to show before training, if there is one. */
export function deviceNote({ device, name, software }: FoundDevice): string | undefined {
  if (!software) return undefined;
  return `${device} is ${name} here, software that imitates a GPU: it computes far slower than ${opt("device")} ${DEFAULT_DEVICE.name}`;
}

const thisSystem = (): System => ({
  platform: process.platform,
  processor: cpus()[0]?.model ?? "unknown",
  list: (folder) => (existsSync(folder) ? readdirSync(folder) : []),
  read: (path) => (existsSync(path) ? readFileSync(path, "utf8") : ""),
});
