import { randomUUID } from "node:crypto";
import { readdir, rename, rm, stat } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import type { Adapter } from "../base-models/adapter.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import { fitAdapter } from "../base-models/fitted-adapter.ts";
import { opt, UserError } from "../errors.ts";
import { makeFolder, writeFailure } from "../files/atomic-file-node.ts";
import { FineTunedModel } from "../inference/fine-tuned-model.ts";
import { mergeWeights } from "../methods/merge.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Example } from "../tasks/example.ts";
import { difference, type ExportAgreement } from "./export-format.ts";
import { EXPORT_FORMATS, type ExportFormats, type ExportOptions } from "./export-formats-node.ts";
import { freeMemory } from "./free-memory-node.ts";
import type { OnWriting } from "./output-folder.ts";

/** The outcome of an export. */
export interface ExportReport extends ExportAgreement {
  format: keyof ExportFormats;
  directory: string;
  /** Sizes in bytes, by path within the folder. */
  files: Record<string, number>;
  /** Number of texts on which the exported model was compared with the run's. */
  comparedTexts: number;
  /**
   * Facts that the user should know, such as why the comparison used built-in sentences, or that the base model's file has only rounded
   * weights.
   */
  notes: readonly string[];
}

/** Largest accepted difference between the logits of an exported model and those of the run; a share of the largest logit if that is above 1. */
const TOLERANCE = 1e-4;

/** Receives the next stage in a few words, and its expected size if known: bytes to write in float32, or seconds. */
export type OnStage = (stage: string, expected?: { bytes?: number; seconds?: number }) => void;

interface ExportHooks {
  onStage?: OnStage | undefined;
  onWriting?: OnWriting | undefined;
  takesWeights?: boolean;
}

/**
 * Exports an adapter to another tool's format. First compares the result with the adapter's own model; if their logits
 * differ by more than 1e-4, or that share of a largest logit above 1, no output is left behind.
 */
export async function exportAdapter(
  base: BaseModel,
  adapter: Adapter,
  { format: name, output, ...own }: ExportOptions,
  runtime: Runtime,
  given: readonly Example[],
  { onStage = () => {}, onWriting, takesWeights = false }: ExportHooks = {},
): Promise<ExportReport> {
  const format = EXPORT_FORMATS.find(name);
  const options = EXPORT_FORMATS.parseOptions(format, own);
  const exists = await refuseIfNotEmpty(output);
  // One text per example is enough.
  const examples = given.map(({ texts: _, ...example }) => example);
  const logitsOf = async (model: BaseModel, its: Adapter): Promise<Float32Array[]> => {
    const adapted = await FineTunedModel.adapt(model, its, runtime);
    try {
      return await adapted.logits(examples);
    } finally {
      await adapted.release();
    }
  };
  const fitted = fitAdapter(base, adapter);
  const directory = resolve(output);
  // An output that exists may be a disk of its own, from which files cannot be moved to another.
  const folder = `${exists ? join(directory, "export") : directory}.${randomUUID()}.tmp`;
  await makeFolder(folder);
  try {
    onStage("computing the outputs of the run's model");
    const asked = performance.now();
    const expected = await logitsOf(base, adapter);
    const seconds = (performance.now() - asked) / 1000;
    const weights = format.merges
      ? await mergeWeights(base.weights, fitted.adaptation, fitted.parameters, runtime)
      : base.weights;
    const sizes = Array.from(weights.values(), ({ data }) => data.byteLength);
    onStage(`writing ${name}`, format.merges ? { bytes: sizes.reduce((sum, size) => sum + size, 0) } : {});
    // Merged weights have the adapter's head.
    const compared = format.merges ? { ...base, newWeights: [] } : base;
    const job = { folder, base: compared, adapter, fitted, weights, options, runtime, examples, expected, onWriting };
    const agreement = await format.write({
      ...job,
      async onWritten() {
        onStage("comparing the export with the run's model", { seconds });
        if (!takesWeights) return;
        await freeMemory([...weights.values(), ...base.weights.values()]);
        base.weights.clear();
      },
      async compare(...read) {
        onStage("comparing the export with the run's model", { seconds });
        return { largestDifference: difference(expected, await logitsOf(...read)) };
      },
    });
    const { largestDifference } = agreement;
    // A regression's outputs may be far above 1, and rounding grows with them.
    const tolerance = TOLERANCE * Math.max(1, largestOf(expected));
    // Written so that NaN is refused, too.
    if (!(largestDifference <= tolerance)) {
      throw new Error(
        `the exported model's logits differ from the run's by ${largestDifference}, more than ${tolerance}; nothing was written to ${output}`,
      );
    }
    const files = await sizesIn(folder);
    await publish(folder, directory, exists);
    return { format: name, directory, files, comparedTexts: examples.length, notes: [], ...agreement };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const largestOf = (rows: readonly Float32Array[]): number =>
  rows.reduce((largest, row) => row.reduce((most, logit) => Math.max(most, Math.abs(logit)), largest), 0);

/** Makes a written folder the output. An output that exists may be a link or a mount point, so it is filled, not replaced. */
async function publish(folder: string, directory: string, exists: boolean): Promise<void> {
  try {
    if (!exists) return await rename(folder, directory);
    for (const name of await readdir(folder)) await rename(join(folder, name), join(directory, name));
  } catch (error) {
    throw writeFailure(directory, error);
  }
}

export async function refuseIfNotEmpty(output: string): Promise<boolean> {
  const found = await stat(output).catch(() => undefined);
  if (!found) return false;
  if (!found.isDirectory()) throw new UserError(`${output} is a file; name a new folder with ${opt("output")}`);
  if ((await readdir(output)).length > 0) {
    throw new UserError(`${output} is not empty; name a new folder with ${opt("output")}, or empty that one`);
  }
  return true;
}

async function sizesIn(folder: string): Promise<Record<string, number>> {
  const sizes: Record<string, number> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    sizes[relative(folder, path).replaceAll(sep, "/")] = (await stat(path)).size;
  }
  return sizes;
}
