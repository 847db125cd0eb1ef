import "./telemetry-off-node.ts";
import { randomUUID } from "node:crypto";
import { mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import * as onnxRuntime from "onnxruntime-node";
import { UserError } from "../errors.ts";
import { modelBytes, type OnnxModel, onnxFiles } from "../graph/onnx-model.ts";
import { collectGarbage } from "./collect-garbage-node.ts";
import type { DeviceName } from "./device.ts";
import { DEFAULT_DEVICE, DEVICES } from "./devices.ts";
import { type PackedSession, Runtime } from "./session.ts";

/**
 * Names of the devices in the installed ONNX Runtime build.
 * @example
 * ```ts
 * console.log(availableDevices()); // [ "cpu", "webgpu" ]
 * ```
 */
export function availableDevices(): DeviceName[] {
  const providers = onnxRuntime.listSupportedBackends().map(({ name }) => name);
  return DEVICES.all.filter(({ provider }) => providers.includes(provider)).map(({ name }) => name);
}

/** Where a runtime computes. */
export interface RuntimePlace {
  /** Default: the CPU. */
  device?: DeviceName;
  /** Number of threads (default: all cores). */
  threads?: number;
}

/**
 * Creates a runtime over onnxruntime-node.
 * @throws UserError if there is no such device, or the installed build of ONNX Runtime does not have it.
 * @example
 * ```ts
 * const runtime = nodeRuntime({ threads: 2 });
 * ```
 */
export function nodeRuntime({
  device: name = DEFAULT_DEVICE.name,
  threads = availableParallelism(),
}: RuntimePlace = {}): Runtime {
  const device = DEVICES.find(name);
  const available = availableDevices();
  if (!available.includes(name)) {
    throw new UserError(`device "${name}" is not in this build of ONNX Runtime; it has ${available.join(" and ")}`);
  }
  const inMainMemory = device.usesMainMemory === true;
  return new Runtime(onnxRuntime, {
    device,
    threads,
    writesInPlace: inMainMemory,
    ...(inMainMemory && { packs: sessionFromFiles }),
  });
}

/** Builds a session from temporary files. ONNX Runtime maps a weight while it prepacks it, so memory holds one copy. */
const sessionFromFiles: PackedSession = async (model, create) => {
  // Windows cannot remove a file that is mapped.
  if (process.platform === "win32") return create(modelBytes(model));
  const folder = join(tmpdir(), `${FOLDER_PREFIX}${randomUUID()}`);
  try {
    await removeLeftovers();
    // If the disk has no room for the files, the model is serialised in memory.
    const path = await writeModel(folder, model).catch(() => undefined);
    // Frees the serialised weights.
    collectGarbage();
    return await create(path ?? modelBytes(model));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

const FOLDER_PREFIX = "aflora-weights-";
/** Age in milliseconds at which the files of another process are leftovers. */
const MAX_AGE = 3_600_000;

/** Removes the files of processes that were ended early, such as by Ctrl-C. */
async function removeLeftovers(): Promise<void> {
  const names = await readdir(tmpdir()).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(FOLDER_PREFIX))) {
    const folder = join(tmpdir(), name);
    const { mtimeMs } = await stat(folder).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    // Another user's files cannot be removed.
    if (Date.now() - mtimeMs > MAX_AGE) await rm(folder, { recursive: true, force: true }).catch(() => {});
  }
}

/** Writes the model and its external data. @returns the path of the model's file */
async function writeModel(folder: string, model: OnnxModel): Promise<string> {
  await mkdir(folder, { mode: 0o700 });
  // One file per weight: those that stay mapped, such as token embeddings, do not keep the others on the disk.
  const files = onnxFiles(join(folder, "graph.onnx"), model, 0, 0);
  for (const { name, pieces } of files) await writeFile(name, pieces());
  return files[0].name;
}

/** Version of the installed ONNX Runtime. */
export const onnxRuntimeVersion = (): string => onnxRuntime.env.versions.node ?? onnxRuntime.env.versions.common;
