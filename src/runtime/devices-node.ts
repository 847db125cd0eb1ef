import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { availableDevices, nodeRuntime } from "./runtime-node.ts";
import type { CompiledGraph, Device, Runtime } from "./session.ts";

/** A device of ONNX Runtime's build, tried on this machine. */
export interface FoundDevice {
  device: Device;
  usable: boolean;
  /** What computes; absent where the system does not say. */
  name?: string;
  /** Whether a GPU is only imitated by the CPU; absent where the system does not say. */
  software?: boolean;
  /** Why it cannot be used. */
  reason?: string;
}

/** A device in use: nothing may be compiled again on some drivers once the last session was released. */
export interface OpenDevice extends FoundDevice {
  session: CompiledGraph;
}

/** Tries every device of the installed build. */
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
 * Tries a runtime's device with a graph of one sum.
 * @returns what it is, with a session on it for the caller to release when all is done
 * @throws UserError where it cannot be used on this machine.
 */
export async function openDevice(runtime: Runtime): Promise<OpenDevice> {
  const { device } = runtime;
  return { device, usable: true, session: await runtime.probe(), ...factsOf(device) };
}

/** What the user should know of a device before training. */
export function deviceNote({ device, name, software }: FoundDevice): string | undefined {
  if (!software) return undefined;
  return `${device} is ${name} here, software that imitates a GPU: it computes far slower than --device cpu`;
}

/** ONNX Runtime does not tell which adapter it took: the system's own files do, on Linux. */
function factsOf(device: Device): Pick<FoundDevice, "name" | "software"> {
  if (device === "cpu") return { name: cpus()[0]?.model ?? "unknown" };
  const name = graphicsCard();
  if (device === "cuda") return name ? { name } : {};
  if (process.platform !== "linux") return {};
  const drivers = readFileSync("/proc/self/maps", "utf8");
  const imitation = /libvulkan_lvp/.test(drivers)
    ? "lavapipe"
    : /swiftshader/i.test(drivers)
      ? "SwiftShader"
      : undefined;
  const real = hasRenderNode() || /lib(GLX_nvidia|nvidia-gpucomp)/.test(drivers);
  if (!real && imitation) return { name: imitation, software: true };
  return { ...(name && { name }), ...(real && { software: false }) };
}

const entries = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);

const hasRenderNode = (): boolean => entries("/dev/dri").some((name) => name.startsWith("renderD"));

const VENDORS: Readonly<Record<string, string>> = { "0x1002": "AMD", "0x8086": "Intel", "0x10de": "NVIDIA" };

/** The first graphics card by its name or its maker's. */
function graphicsCard(): string | undefined {
  const nvidia = "/proc/driver/nvidia/gpus";
  for (const card of entries(nvidia)) {
    const model = /^Model:\s*(.*)$/m.exec(readFileSync(join(nvidia, card, "information"), "utf8"))?.[1];
    if (model) return model;
  }
  for (const card of entries("/sys/class/drm")) {
    const vendor = join("/sys/class/drm", card, "device", "vendor");
    const maker = existsSync(vendor) ? VENDORS[readFileSync(vendor, "utf8").trim()] : undefined;
    if (maker) return maker;
  }
  return undefined;
}
