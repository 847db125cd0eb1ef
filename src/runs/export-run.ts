import { UserError } from "../errors.ts";
import { type ExportReport, exportAdapter, type OnStage, refuseIfNotEmpty } from "../export/export-adapter-node.ts";
import { EXPORT_FORMATS, type ExportOptions } from "../export/export-formats-node.ts";
import type { OnWriting } from "../export/output-folder.ts";
import { refuseOtherData } from "../fine-tuning/data-fingerprint-node.ts";
import { loadTask } from "../fine-tuning/load-task-node.ts";
import { formatToAnswer } from "../inference/answering-format-node.ts";
import type { BaseModel, FormatChoice } from "../model/base-model.ts";
import { loadBaseModel } from "../model/load-base-model-node.ts";
import { openAdapter } from "../model/open-adapter-node.ts";
import type { HubOptions } from "../model-files/hub-repository-node.ts";
import { openModelFolder } from "../model-files/model-folder.ts";
import type { DeviceName } from "../runtime/device.ts";
import { runtimeFor } from "../runtime/runtime-for-node.ts";
import type { Example } from "../tasks/example.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { type FinishedRun, readFinishedRun } from "./read-run.ts";

/** Most texts to compare on. */
const COMPARED_TEXTS = 32;

/** What an export of a run came to. */
export interface RunExportReport extends ExportReport {
  /**
   * What should be known: why built-in sentences were compared on, where the run's own validation texts could not be; that
   * the base model's file has its weights rounded alone.
   */
  notes: readonly string[];
}

/** What is compared where a run's own validation texts can no longer be read. */
const SENTENCES = [
  "The film is a warm, funny and wise look at growing old.",
  "My card was charged twice and nobody answers the phone!",
  "It rained.",
  "Two hours of noise, and not one idea worth the price of the ticket.",
  "Where is the order that I placed on the 3rd of May?",
  "A man is playing a large flute in front of a small crowd.",
  "Prices rose by 4.5 % in March, the bank said on Tuesday, more than most economists had expected after a mild winter.",
  "¿Qué? Ünïcödé, 東京 and emoji 🙂 are texts too.",
];

/**
 * Exports a finished run's adapter, best epoch, to another tool's format, and compares the result with the run's model
 * before it is put in place: where their logits differ by more than 1e-4, nothing is left behind. Compared is on the run's validation
 * texts or, with a note, on built-in sentences where those are gone or changed.
 * @throws UserError where the folder is no finished run, the output is not empty, or the format has no place for the method.
 */
export async function exportRun(
  run: string,
  options: ExportOptions,
  where: {
    device?: DeviceName | undefined;
    threads?: number | undefined;
    onStage?: OnStage | undefined;
    onWriting?: OnWriting | undefined;
  } & HubOptions = {},
): Promise<RunExportReport> {
  const finished = await readFinishedRun(run);
  await refuseIfNotEmpty(options.output);
  const { device, threads, onStage, onWriting, ...hub } = where;
  const adapter = await openAdapter(run);
  const { model, revision, modelFiles, task, base: trained } = adapter.description;
  const recorded = { fileHashes: modelFiles, whose: `the run in ${run}` };
  const { merges } = EXPORT_FORMATS.find(options.format);
  const format: FormatChoice = merges ? "float32" : formatToAnswer({ trained });
  const from = { ...hub, format, recorded, ...(revision !== undefined && { revision }) };
  onStage?.("reading the base model");
  const base = await loadBaseModel(model, task, 0, from);
  const { examples, note } = await textsOf(finished, findTaskKind(task.kind), hub);
  const report = await exportAdapter(base, adapter, options, runtimeFor({ device, threads }), examples, {
    onStage,
    onWriting,
    takesWeights: true,
  });
  const rounded = merges ? await roundedNote(base) : undefined;
  const inFewerBits =
    base.format === "float32"
      ? undefined
      : `compared on an ${base.format} base: in float32 it would not fit into free memory`;
  return { ...report, notes: [note, rounded, inFewerBits, advice(report)].filter((each) => each !== undefined) };
}

/** Share of answers that stay the same below which weights in fewer bits are not worth their smaller file. */
const ENOUGH = 0.95;

/** What to try where weights in fewer bits change too many answers. */
function advice({ quantized }: ExportReport): string | undefined {
  if (quantized?.sameLabel === undefined || quantized.sameLabel >= ENOUGH) return undefined;
  const { dtype } = quantized;
  const other =
    dtype === "q8" ? "--dtype q4, which does not round what layers are given," : "--dtype q8, with twice the bits,";
  return `with ${dtype} fewer than ${100 * ENOUGH} % of answers stay the same: try ${other} or use the float32 file`;
}

/** That an adapter was merged into weights that were rounded before, where the file has no others. */
async function roundedNote({ files, name }: BaseModel): Promise<string | undefined> {
  const { weights } = await openModelFolder(files);
  const types = new Set(
    [...weights.tensors.values()].map(({ dtype }) => dtype).filter((dtype) => dtype.startsWith("Q")),
  );
  if (types.size === 0) return undefined;
  return `${name} has its weights only in ${[...types].sort().join(", ")}: the adapter is merged into these, converted back to float32`;
}

/** The run's own validation texts, where they are still what they were. */
async function textsOf(
  { directory, config, dataFingerprint }: FinishedRun,
  kind: TaskKind,
  hub: HubOptions,
): Promise<{ examples: Example[]; note?: string }> {
  try {
    await refuseOtherData(dataFingerprint, `the run in ${directory}`, "restore it to compare on its texts");
    const { validation } = await loadTask(config, hub, dataFingerprint);
    return { examples: validation[0]!.examples.slice(0, COMPARED_TEXTS) };
  } catch (error) {
    if (!(error instanceof UserError) || kind.reads !== undefined) throw error;
    return {
      examples: SENTENCES.map((text, index) => ({ index, ...kind.exampleOfInput({ text }) })),
      note: `compared on built-in sentences: ${error.message}`,
    };
  }
}
