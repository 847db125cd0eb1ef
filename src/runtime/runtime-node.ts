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
  return new Runtime(onnxRuntime, { device, threads, writesInPlace: here, ...(here && { packs: throughFiles }) });
}

/** From files that are there meanwhile: ONNX Runtime maps each weight as it lays it out, so that no second copy is in memory. */
const throughFiles: PackedSession = async (model, create) => {
  // Windows removes no file that is mapped.
  if (process.platform === "win32") return create(modelBytes(model));
  const folder = join(tmpdir(), `${LAID_OUT}${randomUUID()}`);
  try {
    await removeLeftovers();
    // Where there is no room for files, the bytes are made in memory.
    const path = await writeModel(folder, model).catch(() => undefined);
    // The numbers that were written.
    collectGarbage();
    return await create(path ?? modelBytes(model));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

const LAID_OUT = "aflora-weights-";
/** Milliseconds after which no process can still be laying out from files. */
const LEFT_BEHIND = 3_600_000;

/** Removes the files of processes that ended before they could, such as by Ctrl-C. */
async function removeLeftovers(): Promise<void> {
  const names = await readdir(tmpdir()).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(LAID_OUT))) {
    const folder = join(tmpdir(), name);
    const { mtimeMs } = await stat(folder).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    // Another user's stay.
    if (Date.now() - mtimeMs > LEFT_BEHIND) await rm(folder, { recursive: true, force: true }).catch(() => {});
  }
}

/** @returns the path of the model's file, beside which its weights are */
async function writeModel(folder: string, model: OnnxModel): Promise<string> {
  await mkdir(folder, { mode: 0o700 });
  // Each in a file by itself: what stays mapped, such as words, then holds no space of those that are laid out.
  const files = onnxFiles(join(folder, "graph.onnx"), model, 0, 0);
  for (const { name, pieces } of files) await writeFile(name, pieces());
  return files[0].name;
}

/** Version of ONNX Runtime. */
export const onnxRuntimeVersion = (): string => onnxRuntime.env.versions.node ?? onnxRuntime.env.versions.common;
