import { mkdir, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { UserError } from "../errors.ts";
import type { Adapter } from "../finetuning/adapter.ts";
import type { BaseModel } from "../finetuning/base-model.ts";
import { FineTunedModel } from "../finetuning/fine-tuned-model.ts";
import { fitAdapter } from "../finetuning/fitted-adapter.ts";
import { loadBaseModel } from "../finetuning/load-base-model-node.ts";
import { head } from "../methods/head.ts";
import { mergeWeights } from "../methods/merge.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Example } from "../tasks/example.ts";
import { dot, unitVector } from "../tasks/vectors.ts";
import { GGUF_ADAPTER, readGgufAdapter, writeGgufFolder } from "./gguf/adapter-node.ts";
import { writeMergedFolder } from "./merged-node.ts";
import { ONNX_FILES, writeOnnxFolder } from "./onnx.ts";
import { onnxOutputs } from "./onnx-outputs-node.ts";
import { diskFolder } from "./output-folder-node.ts";
import { readPeftAdapter } from "./peft/read-node.ts";
import { type PeftFormName, writePeftFolder } from "./peft/write.ts";

export const EXPORT_FORMATS = ["peft", "merged", "onnx", "gguf"] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

export interface ExportOptions {
  format: ExportFormat;
  /** Folder to write; it must not hold anything. */
  output: string;
  /** `onnx`: write the model with int8 weights too. */
  dtype?: "float32" | "q8" | undefined;
  /** `peft`: write an adapter that PEFT has a form of its own for, such as AdaLoRA's, as an ordinary LoRA. */
  as?: PeftFormName | undefined;
}

export interface ExportReport {
  format: ExportFormat;
  directory: string;
  /** By path within the folder, bytes. */
  files: Record<string, number>;
  /** Texts on which the exported model was compared with the run's. */
  comparedTexts: number;
  /** Largest difference of a logit. */
  largestDifference: number;
  /**
   * The model with int8 weights: its largest difference, and the share of outputs whose likeliest label is the same; of
   * embeddings, the least cosine of a text's vectors.
   */
  q8?: { largestDifference: number; sameLabel?: number; leastCosine?: number };
}

/** Largest difference between the logits of an exported model and those of the run that is let pass. */
const TOLERANCE = 1e-4;

/**
 * Exports an adapter to another tool's format and compares the result with the adapter's own model before it is put in
 * place: where their logits differ by more than 1e-4, nothing is left behind.
 * @param given what to compare on
 * @throws UserError where the output is not empty, or the format has no place for the method.
 */
export async function exportAdapter(
  base: BaseModel,
  adapter: Adapter,
  { format, output, dtype = "float32", as }: ExportOptions,
  runtime: Runtime,
  given: readonly Example[],
): Promise<ExportReport> {
  // One text of each is enough.
  const examples = given.map(({ texts: _, ...example }) => example);
  if (dtype === "q8" && format !== "onnx") throw new UserError("--dtype q8 is for --format onnx");
  if (as !== undefined && format !== "peft") throw new UserError(`--as ${as} is for --format peft`);
  await refuseIfNotEmpty(output);
  const { description } = adapter;
  const fitted = fitAdapter(base, adapter);
  const directory = resolve(output);
  const temporary = `${directory}.${process.pid}.tmp`;
  const model = await FineTunedModel.adapt(base, adapter, runtime);
  try {
    const expected = await model.logits(examples);
    await mkdir(temporary, { recursive: true });
    const report: ExportReport = {
      format,
      directory,
      files: {},
      comparedTexts: examples.length,
      largestDifference: 0,
    };
    if (format === "peft") {
      await writePeftFolder(diskFolder(temporary), base, fitted, adapter.parameters, as);
      report.largestDifference = difference(expected, await peftLogits(temporary, base, adapter, runtime, examples));
    } else if (format === "gguf") {
      await writeGgufFolder(temporary, base, fitted);
      const again = await readGgufAdapter(join(temporary, GGUF_ADAPTER), base, description);
      const found = await released(await FineTunedModel.adapt(base, again, runtime), examples);
      report.largestDifference = difference(expected, found);
    } else {
      const weights = await mergeWeights(base.weights, fitted.adaptation, fitted.parameters, runtime);
      if (format === "merged") {
        await writeMergedFolder(temporary, base, description, weights);
        report.largestDifference = difference(expected, await mergedLogits(temporary, adapter, runtime, examples));
      } else {
        await writeOnnxFolder(diskFolder(temporary), base, description, weights, dtype === "q8");
        const outputsOf = (file: string) => onnxOutputs(join(temporary, file), base, adapter, runtime, examples);
        const whole = await outputsOf(ONNX_FILES.float32);
        report.largestDifference = difference(expected, whole.values);
        if (dtype === "q8") {
          const { values, likeliest } = await outputsOf(ONNX_FILES.q8);
          const agreement =
            base.head === "pooled"
              ? { leastCosine: leastCosine(expected, values) }
              : { sameLabel: shareOfSameLabels(whole.likeliest, likeliest) };
          report.q8 = { largestDifference: difference(expected, values), ...agreement };
        }
      }
    }
    // Written so that a difference that is no number is refused too.
    if (!(report.largestDifference <= TOLERANCE)) {
      throw new Error(
        `the exported model's logits differ from the run's by ${report.largestDifference}, more than ${TOLERANCE}; nothing was written to ${output}`,
      );
    }
    report.files = await sizesIn(temporary);
    await rmdir(directory).catch(() => undefined);
    await rename(temporary, directory);
    return report;
  } finally {
    await model.release();
    await rm(temporary, { recursive: true, force: true });
  }
}

/** @throws UserError where there is something in the folder, or it is a file. */
export async function refuseIfNotEmpty(output: string): Promise<void> {
  const found = await stat(output).catch(() => undefined);
  if (!found) return;
  if (!found.isDirectory()) throw new UserError(`${output} is a file; name a new folder with --output`);
  if ((await readdir(output)).length > 0) {
    throw new UserError(`${output} is not empty; name a new folder with --output, or empty that one`);
  }
}

async function peftLogits(
  folder: string,
  base: BaseModel,
  { description }: Adapter,
  runtime: Runtime,
  examples: readonly Example[],
): Promise<Float32Array[]> {
  const read = await readPeftAdapter(folder, { model: base.files.location });
  const { task, maxLength, lossOn } = description;
  const again = { ...read, description: { ...read.description, task, maxLength, ...(lossOn && { lossOn }) } };
  return released(await FineTunedModel.adapt(base, again, runtime), examples);
}

async function mergedLogits(
  folder: string,
  { description }: Adapter,
  runtime: Runtime,
  examples: readonly Example[],
): Promise<Float32Array[]> {
  const alone = { ...description, method: head.name, methodOptions: {} };
  const base = await loadBaseModel(folder, description.task, 0);
  return released(await FineTunedModel.adapt(base, { description: alone, parameters: new Map() }, runtime), examples);
}

async function released(model: FineTunedModel, examples: readonly Example[]): Promise<Float32Array[]> {
  try {
    return await model.logits(examples);
  } finally {
    await model.release();
  }
}

function difference(expected: readonly Float32Array[], found: readonly Float32Array[]): number {
  // Of a pair where one is NaN, the difference is NaN, and so is the largest.
  return expected.reduce(
    (largest, row, i) => row.reduce((most, logit, j) => Math.max(most, Math.abs(logit - found[i]![j]!)), largest),
    0,
  );
}

/** Of all rows of outputs, how many have the same largest one. */
function shareOfSameLabels(expected: readonly Int32Array[], found: readonly Int32Array[]): number {
  const same = expected.map((likeliest, i) => likeliest.filter((output, row) => output === found[i]![row]).length);
  const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
  return sum(same) / sum(expected.map(({ length }) => length));
}

/** Of pairs of vectors. */
const leastCosine = (expected: readonly Float32Array[], found: readonly Float32Array[]): number =>
  Math.min(...expected.map((vector, i) => dot(unitVector(vector), unitVector(found[i]!))));

async function sizesIn(folder: string): Promise<Record<string, number>> {
  const sizes: Record<string, number> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    sizes[relative(folder, path).replaceAll(sep, "/")] = (await stat(path)).size;
  }
  return sizes;
}
