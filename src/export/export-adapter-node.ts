import { mkdir, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { UserError } from "../errors.ts";
import { FineTunedModel } from "../inference/fine-tuned-model.ts";
import { mergeWeights } from "../methods/merge.ts";
import type { Adapter } from "../model/adapter.ts";
import type { BaseModel } from "../model/base-model.ts";
import { fitAdapter } from "../model/fitted-adapter.ts";
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
  /** By path within the folder, bytes. */
  files: Record<string, number>;
  /** Texts on which the exported model was compared with the run's. */
  comparedTexts: number;
  /**
   * Facts that the user should know, such as why the comparison used built-in sentences, or that the base model's file has only rounded
   * weights.
   */
  notes: readonly string[];
}

/** Largest difference between the logits of an exported model and those of the run that is let pass. */
const TOLERANCE = 1e-4;

/** Told what comes next, in a few words, and what of its size is known: bytes to write in float32, seconds that it will take. */
export type OnStage = (stage: string, expected?: { bytes?: number; seconds?: number }) => void;

/** See {@link exportAdapter}. */
interface ExportHooks {
  onStage?: OnStage | undefined;
  onWriting?: OnWriting | undefined;
  takesWeights?: boolean;
}

/**
 * Exports an adapter to another tool's format and compares the result with the adapter's own model before it is put in
 * place: where their logits differ by more than 1e-4, nothing is left behind.
 * @param given what to compare on
 * @param hooks `onStage` is told what comes next, in a few words, `onWriting` how far the weights are; where `takesWeights`, the base model is the export's own, and its
 *   weights are given back as soon as they are written, where the format compares without them
 * @throws UserError where the output is not empty, an option is not the format's, or it has no place for the method.
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
  await refuseIfNotEmpty(output);
  // One text of each is enough.
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
  const folder = `${directory}.${process.pid}.tmp`;
  try {
    onStage("asking the run's model");
    const asked = performance.now();
    const expected = await logitsOf(base, adapter);
    const seconds = (performance.now() - asked) / 1000;
    await mkdir(folder, { recursive: true });
    const weights = format.merges
      ? await mergeWeights(base.weights, fitted.adaptation, fitted.parameters, runtime)
      : base.weights;
    const sizes = Array.from(weights.values(), ({ data }) => data.byteLength);
    onStage(`writing ${name}`, format.merges ? { bytes: sizes.reduce((sum, size) => sum + size, 0) } : {});
    const job = { folder, base, adapter, fitted, weights, options, runtime, examples, expected, onWriting };
    const agreement = await format.write({
      ...job,
      async onWritten() {
        onStage("comparing what was written", { seconds });
        if (!takesWeights) return;
        await freeMemory([...weights.values(), ...base.weights.values()]);
        base.weights.clear();
      },
      async compare(...read) {
        onStage("comparing what was written", { seconds });
        return { largestDifference: difference(expected, await logitsOf(...read)) };
      },
    });
    const { largestDifference } = agreement;
    // Written so that a difference that is no number is refused too.
    if (!(largestDifference <= TOLERANCE)) {
      throw new Error(
        `the exported model's logits differ from the run's by ${largestDifference}, more than ${TOLERANCE}; nothing was written to ${output}`,
      );
    }
    const files = await sizesIn(folder);
    await rmdir(directory).catch(() => undefined);
    await rename(folder, directory);
    return { format: name, directory, files, comparedTexts: examples.length, notes: [], ...agreement };
  } finally {
    await rm(folder, { recursive: true, force: true });
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

async function sizesIn(folder: string): Promise<Record<string, number>> {
  const sizes: Record<string, number> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    sizes[relative(folder, path).replaceAll(sep, "/")] = (await stat(path)).size;
  }
  return sizes;
}
