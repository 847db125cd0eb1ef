import type { OnnxRuntime } from "./onnx-runtime.ts";

/**
 * Devices by name. A program that registers one declares its name here, so that options take it:
 * `declare module "aflora" { interface Devices { npu: Device } }`.
 */
export interface Devices {
  cpu: Device;
  webgpu: Device;
  cuda: Device;
}

/** A device as options name it. */
export type DeviceName = keyof Devices;

/** What a device is on a machine. */
export interface DeviceFacts {
  /** What computes; absent where the system does not say. */
  name?: string;
  /** Whether a GPU is only imitated by the CPU; absent where the system does not say. */
  software?: boolean;
}

/** What of a machine tells what a device is there. */
export interface System {
  /** As Node has it: `linux`. */
  readonly platform: string;
  /** Name of the processor. */
  readonly processor: string;
  /** Names of what lies in a folder; none where there is no such folder. */
  list(folder: string): string[];
  /** Text of a file; empty where there is no such file. */
  read(path: string): string;
}

/** ONNX Runtime in a page. */
export interface WebOnnxRuntime extends OnnxRuntime {
  env: { wasm: { numThreads?: number } };
}

/** A device in pages. */
export interface PageDevice {
  /** What people know it as there. */
  readonly name: string;
  /** Whether it is a graphics card. */
  readonly isGraphicsCard: boolean;
  /** Whether this browser has it. */
  isThere(): Promise<boolean>;
  /** ONNX Runtime that computes with it; imported here, so that a page loads that of the device it takes. */
  load(): Promise<WebOnnxRuntime>;
}

/** Where graphs are computed. Each is one object in a file of its own; nothing else knows them apart. */
export interface Device {
  /** By which options ask for it. */
  readonly name: DeviceName;
  /** ONNX Runtime's name of the execution provider that computes there. */
  readonly provider: string;
  /** Whether it is wherever ONNX Runtime is: what fails there is a defect of ours, and it can be taken in another's place. */
  readonly isEverywhere?: boolean;
  /** Whether it computes in the machine's own memory: how much of it is free is known, and outputs are written where they are wanted. */
  readonly usesMainMemory?: boolean;
  /**
   * Most bytes of frozen weights that a session can be given for good, on a device to which they would be uploaded at each
   * run; absent: they are fed from the one copy that all sessions share.
   */
  readonly embeds?: number;
  /** What ONNX Runtime says of a run where the device went away; absent: it does not go. */
  readonly lost?: RegExp;
  /** Ops that it computes in their plain form, because it has no kernel of the other's. */
  readonly plainOps?: ReadonlySet<string>;
  /** Formats of the base model's weights that it takes; absent: all. */
  readonly baseFormats?: readonly string[];
  /** What it is on a machine with Node. */
  describe?(system: System): DeviceFacts;
  /** How a page has it; absent: no page does. */
  readonly page?: PageDevice;
}
