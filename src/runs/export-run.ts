import type { BaseModel, FormatChoice } from "../base-models/base-model.ts";
import { loadBaseModel } from "../base-models/load-base-model-node.ts";
import { openAdapter } from "../base-models/open-adapter-node.ts";
import type { HubOptions } from "../checkpoints/hub-repository-node.ts";
import { openModelFolder } from "../checkpoints/model-folder.ts";
import { opt, UserError } from "../errors.ts";
import { type ExportReport, exportAdapter, refuseIfNotEmpty } from "../export/export-adapter-node.ts";
import { EXPORT_FORMATS, type ExportOptions } from "../export/export-formats-node.ts";
import { formatToAnswer } from "../inference/answering-format-node.ts";
import { refuseOtherData } from "../preparation/data-fingerprint-node.ts";
import { loadTask } from "../preparation/load-task-node.ts";
import type { DeviceName } from "../runtime/device.ts";
import { runtimeFor } from "../runtime/runtime-for-node.ts";
import type { Example } from "../tasks/example.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { type FinishedRun, readFinishedRun } from "./read-run.ts";

const COMPARED_TEXTS = 32;

/** Texts to compare on if the run's validation texts can no longer be read. */
const SENTENCES = [
  "The film is a warm, funny and wise look at growing old.",
  "My card was charged twice and no one answers the phone!",
  "It rained.",
  "Two hours of noise, and not one idea worth the price of the ticket.",
  "Where is the order that I placed on the 3rd of May?",
  "A man is playing a large flute in front of a small crowd.",
  "Prices rose by 4.5 % in March, the bank said on Tuesday, more than most economists had expected after a mild winter.",
  "¿Qué? Ünïcödé, 東京 and emoji 🙂 are texts too.",
];

/** Device of an export, and functions that receive its progress. */
export interface ExportSettings extends HubOptions {
  device?: DeviceName | undefined;
  threads?: number | undefined;
  /** Called before each stage, with its size if known: bytes to write in float32, or expected seconds. */
  onStage?: ((stage: string, expected?: { bytes?: number; seconds?: number }) => void) | undefined;
  /** Called with the bytes of weights written so far and in all, counted in float32. */
  onWriting?: ((done: number, of: number) => void) | undefined;
}

export async function exportRun(
  run: string,
  options: ExportOptions,
  settings: ExportSettings = {},
): Promise<ExportReport> {
  const finished = await readFinishedRun(run);
  await refuseIfNotEmpty(options.output);
  const { device, threads, onStage, onWriting, ...hub } = settings;
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

/** Share of unchanged answers below which a smaller file with quantized weights is not worth it. */
const ENOUGH = 0.95;

function advice({ quantized }: ExportReport): string | undefined {
  if (quantized?.sameLabel === undefined || quantized.sameLabel >= ENOUGH) return undefined;
  const { dtype } = quantized;
  const other =
    dtype === "q8"
      ? `${opt("dtype")} q4, which does not round the inputs of layers,`
      : `${opt("dtype")} q8, with twice the bits,`;
  return `with ${dtype} fewer than ${100 * ENOUGH} % of answers stay the same: try ${other} or use the float32 file`;
}

/** Notes that the adapter was merged into quantized weights, if the base model's file has no others. */
async function roundedNote({ files, name }: BaseModel): Promise<string | undefined> {
  const { weights } = await openModelFolder(files);
  const types = new Set(
    [...weights.tensors.values()].map(({ dtype }) => dtype).filter((dtype) => dtype.startsWith("Q")),
  );
  if (types.size === 0) return undefined;
  return `${name} has its weights only in ${[...types].sort().join(", ")}: the adapter is merged into these, converted back to float32`;
}

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
