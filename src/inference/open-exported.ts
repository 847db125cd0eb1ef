import { describeModel, hasFamily } from "../architectures/families.ts";
import { traceModel } from "../architectures/trace.ts";
import { type BaseModel, readPooling } from "../base-models/base-model.ts";
import { adapterOfUntuned } from "../base-models/untuned-adapter.ts";
import { readJson } from "../checkpoints/json-file.ts";
import type { ModelFiles } from "../checkpoints/model-files.ts";
import { onnxFileIn, readModelConfig } from "../checkpoints/model-folder.ts";
import type { ByteSource } from "../files/byte-source.ts";
import { loadTokenizer } from "../inputs/load-tokenizer.ts";
import type { Runtime } from "../runtime/session.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { readerOf } from "../training/step-graph.ts";
import { CompiledModel } from "./compiled-model.ts";
import { EXPORTED_INPUTS, ExportedOutputs } from "./exported-outputs.ts";
import { FineTunedModel } from "./fine-tuned-model.ts";

const [VECTOR, LOGITS] = ["sentence_embedding", "logits"];

/**
 * Opens an exported encoder, whose ONNX file ONNX Runtime runs as it is: classes, scores, tags or vectors.
 * @throws UserError if they are damaged
 */
export async function openExported(
  files: ModelFiles,
  runtime: Runtime,
  content: (file: ByteSource) => Promise<Uint8Array> | string,
): Promise<FineTunedModel | undefined> {
  const file = await onnxFileIn(files);
  const raw = await readModelConfig(files);
  if (!file || !hasFamily(raw.model_type)) return undefined;
  const described = { ...describeModel(raw), pooling: await readPooling(files) };
  if (described.architecture.kind !== "encoder") return undefined;
  const { description, parameters } = adapterOfUntuned(files.location, { raw, ...described });
  const kind = findTaskKind(description.task.kind);
  if (readerOf(kind) || kind.reads !== undefined) return undefined;

  const whole = await runtime.openWhole(await content(file), file.location);
  const output = kind.retrieval?.by === "vectors" ? VECTOR! : LOGITS!;
  if (!whole.outputNames.includes(output) || !whole.inputNames.every((name) => EXPORTED_INPUTS.has(name))) {
    await whole.release();
    return undefined;
  }
  const tokenizer = await loadTokenizer(files);
  const labelCount = kind.outputs(description.task.labels, described.config);
  const base: BaseModel = {
    ...described,
    ...{ name: files.location, files, tokenizer, labelCount, head: kind.head, format: "float32" },
    trace: traceModel(described, labelCount, kind.head),
    ...{ weights: new Map(), quantized: new Map(), newWeights: [], unused: [] },
  };
  const outputs = new ExportedOutputs(whole, { output, width: labelCount, padTokenId: tokenizer.padTokenId });
  // The file reads no longer texts than those of its training.
  const maxLength = Math.min(description.maxLength, await textLength(files));
  const adapter = { description: { ...description, maxLength }, parameters };
  return new FineTunedModel(base, adapter, CompiledModel.ofOutputs(outputs));
}

async function textLength(files: ModelFiles): Promise<number> {
  const settings = (await readJson(files, "tokenizer_config.json")) as { model_max_length?: unknown } | undefined;
  const length = settings?.model_max_length;
  return typeof length === "number" && length >= 1 ? length : Number.POSITIVE_INFINITY;
}
