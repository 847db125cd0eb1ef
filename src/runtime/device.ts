/**
 * Devices by name. A program that registers one declares its name here, so that options accept it:
 * `declare module "aflora/extend" { interface Devices { npu: Device } }`.
 */
export interface Devices {
  cpu: Device;
  webgpu: Device;
  cuda: Device;
}

/** Name of a device in options. */
export type DeviceName = keyof Devices;

/** Description of a device on a machine. */
export interface DeviceFacts {
  /** Name of the hardware; undefined if the system does not say. */
  name?: string;
  /** Whether software emulates a GPU; undefined if the system does not say. */
  software?: boolean;
}

/** Facts about a machine by which its devices are identified. */
export interface System {
  /** Node's name of the platform, such as `linux`. */
  readonly platform: string;
  /** Name of the processor. */
  readonly processor: string;
  /** Returns the names in a folder; empty if there is no such folder. */
  list(folder: string): string[];
  /** Returns the text of a file; empty if there is no such file. */
  read(path: string): string;
}

/** A device in web pages. */
export interface PageDevice {
  /** Name for users. */
  readonly name: string;
  /** Whether it is a GPU. */
  readonly isGraphicsCard: boolean;
  /** Whether this browser supports it. */
  isAvailable(): Promise<boolean>;
}

/** A device that runs graphs. Each is one object in its own file; no other code depends on a particular device. */
export interface Device {
  /** Name in options. */
  readonly name: DeviceName;
  /** Name of ONNX Runtime's execution provider. */
  readonly provider: string;
  /** Whether every ONNX Runtime build has it. Errors on it are defects of aflora, and it can replace another device. */
  readonly isEverywhere?: boolean;
  /** Whether it uses main memory: free memory is then known, and outputs are written in place. */
  readonly usesMainMemory?: boolean;
  /**
   * Maximum number of bytes of frozen weights that a session can embed, for a device to which they would be uploaded at each run. If
   * undefined, weights are fed from the copy that all sessions share.
   */
  readonly embeds?: number;
  /** Matches ONNX Runtime's errors after the device was lost. Undefined if that cannot happen. */
  readonly lost?: RegExp;
  /** Ops to encode in their plain form, because the device has no kernel for the other. */
  readonly plainOps?: ReadonlySet<string>;
  /** Formats of base weights that it supports (default: all). */
  readonly baseFormats?: readonly string[];
  /** Describes the device on a machine with Node. */
  describe?(system: System): DeviceFacts;
  /** The device in a page; undefined if no page has it. */
  readonly page?: PageDevice;
}
