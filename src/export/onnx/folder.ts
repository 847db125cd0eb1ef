import { readsSource } from "../../architectures/architecture-kinds.ts";
import { ForwardContext, type ForwardHooks } from "../../architectures/forward-context.ts";
import { MEAN_POOLING, type PoolingMode, writePooling } from "../../architectures/pooling.ts";
import { CachedStream, WrittenStream } from "../../architectures/streams/cached-stream.ts";
import { EncodedStream } from "../../architectures/streams/encoded-stream.ts";
import { EvenStream, PaddedStream } from "../../architectures/streams/padded-stream.ts";
import { samplesOf } from "../../architectures/streams/token-stream.ts";
import { isPretrained, labelsTokens, writeEncoder, writeHiddenStates, writeModel } from "../../architectures/trace.ts";
import type { AdapterDescription } from "../../base-models/adapter.ts";
import type { BaseModel } from "../../base-models/base-model.ts";
import { opt, UserError } from "../../errors.ts";
import { Graph, type Value } from "../../graph/graph.ts";
import { onnxModel } from "../../graph/onnx.ts";
import { LARGEST_FILE, type OnnxModel, onnxFiles, type PiecedFile } from "../../graph/onnx-model.ts";
import { reshape } from "../../graph/ops.ts";
import type { Tensors } from "../../graph/tensor.ts";
import { findTaskKind } from "../../tasks/task-kinds.ts";
import { labelNames } from "../hugging-face.ts";
import { copyFile, writeConfig, writeGenerationConfig, writeTokenizerJson } from "../hugging-face-files.ts";
import type { OnWriting, OutputFolder } from "../output-folder.ts";
import { writeSentenceFiles } from "../sentence-transformers.ts";
import { type OnnxQuantization, quantizeOnnx } from "./quantize.ts";

export type OnnxType = "float32" | OnnxQuantization;

/** Transformers.js's names for a model's files: one, or an encoder's and its decoder's. */
export const onnxNames = (base: Pick<BaseModel, "architecture">): { own: string; encoder?: string } =>
  readsSource(base) ? { own: "decoder_model_merged", encoder: "encoder_model" } : { own: "model" };

const SUFFIXES: Record<OnnxType, string> = { float32: "", q8: "_quantized", q4: "_q4" };

export const onnxFile = (name: string, type: OnnxType): string => `onnx/${name}${SUFFIXES[type]}.onnx`;

export interface OnnxFolderOptions {
  quantization?: OnnxQuantization | undefined;
  most?: number;
  onWriting?: OnWriting | undefined;
}

/**
 * Writes a folder that Transformers.js loads by its path: configuration, tokenizer and the model. `weights` are in the
 * model's file, or in further files if they are too large.
 */
export async function writeOnnxFolder(
  folder: OutputFolder,
  base: BaseModel,
  description: AdapterDescription,
  weights: Tensors<"float32">,
  { quantization, most = LARGEST_FILE, onWriting }: OnnxFolderOptions = {},
): Promise<void> {
  const { own, encoder } = onnxNames(base);
  if (encoder && !isPretrained(base.head)) {
    throw new UserError(
      `an encoder-decoder that does not write texts cannot be exported as ONNX; use ${opt("format")} merged`,
    );
  }
  // A language model continues beyond the length of its training texts.
  const maxLength = isPretrained(base.head)
    ? base.config.maxLength
    : Math.min(description.maxLength, base.config.maxLength);
  const linear = new Set(base.trace.modules.map(({ name }) => `${name}.weight`));
  const specs = [...base.trace.weights.values()];
  const tables = new Set(specs.filter(({ use }) => use === "table").map(({ name }) => name));
  const models = encoder
    ? encodeTwoTexts(base, weights, maxLength, { own, encoder })
    : encodeWhole(base, weights, maxLength, own);
  const written = [...models].flatMap(([name, model]) => {
    const whole = onnxFiles(onnxFile(name, "float32"), model, most);
    const bytes = bytesIn(whole);
    if (!quantization) return [{ files: whole, bytes }];
    const rounded = quantizeOnnx(model, { linear, tables }, quantization);
    return [whole, onnxFiles(onnxFile(name, quantization), rounded, most)].map((files) => ({ files, bytes }));
  });
  const filesBeside = Object.fromEntries(
    written.flatMap(({ files: [file, ...beside] }) =>
      beside.length > 0 ? [[basename(file.name), beside.length]] : [],
    ),
  );
  const asked = {
    // Transformers.js in a page would request int8 otherwise.
    ...(quantization !== "q8" && { dtype: "fp32" }),
    ...(Object.keys(filesBeside).length > 0 && { use_external_data_format: filesBeside }),
  };
  await writeConfig(
    folder,
    base,
    description,
    Object.keys(asked).length > 0 ? { "transformers.js_config": asked } : {},
  );
  const reads = encoder ? Math.min(description.maxLength, maxLength) : maxLength;
  if (base.media) await copyFile(folder, base, "preprocessor_config.json");
  else await writeTokenizerJson(folder, base, reads);
  if (base.head === "pooled" && !base.media) await writeSentenceFiles(folder, base, maxLength, weights);
  if (isPretrained(base.head)) await writeGenerationConfig(folder, base);
  await folder.write("README.md", readme(base, description, quantization));
  const all = written.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  for (const { files, bytes } of written) {
    // Quantized weights are computed while they are written, so their file takes as long as the float32 one.
    const each = bytes / bytesIn(files);
    const tell = (size: number): void => {
      done += size * each;
      onWriting?.(done, all);
    };
    for (const { name, pieces } of files) await folder.write(name, told(pieces(), tell));
  }
}

const bytesIn = (files: readonly PiecedFile[]): number => files.reduce((sum, { size }) => sum + size, 0);

function* told(pieces: Iterable<Uint8Array>, tell: (size: number) => void): Generator<Uint8Array> {
  for (const piece of pieces) {
    yield piece;
    tell(piece.length);
  }
}

const basename = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

function* encodeWhole(
  base: BaseModel,
  weights: Tensors,
  maxLength: number,
  name: string,
): Generator<[string, OnnxModel]> {
  const graph = new Graph();
  const cached = isPretrained(base.head) ? new WholeCachedStream(graph, maxLength) : undefined;
  const stream = cached ?? (base.media ? new EvenStream(graph, maxLength) : new PaddedStream(graph, maxLength));
  const outputs = writeOutputs(contextOf(graph, { stream: () => stream }), stream, base);
  yield [name, encode({ ...outputs, ...cached?.cache.present }, weights, stream)];
}

/**
 * An encoder-decoder as two files: the encoder, and the decoder that reads its output. The keys and values of the encoder's text are
 * outputs of the decoder's first run, and inputs of later runs.
 */
function* encodeTwoTexts(
  base: BaseModel,
  weights: Tensors,
  maxLength: number,
  names: { own: string; encoder: string },
): Generator<[string, OnnxModel]> {
  const { labelCount, head, config } = base;
  const reading = new Graph();
  const stream = new PaddedStream(reading, maxLength);
  const { hidden } = writeEncoder(contextOf(reading, { stream: () => stream }), base);
  const states = reshape(hidden, ["batch", "sequence", config.hiddenSize]);
  yield [names.encoder, encode({ last_hidden_state: states }, weights, stream)];

  const writing = new Graph();
  const written = new WholeWrittenStream(writing, maxLength);
  const source = new EncodedStream(writing);
  const context = contextOf(writing, { stream: () => written, encoded: (_, width) => source.encoded(width) });
  const logits = reshape(writeModel(context, base, labelCount, head), ["batch", "sequence", labelCount]);
  const outputs = { logits, ...written.cache.present, ...source.cache.present };
  yield [names.own, encode(outputs, weights, written)];
}

const contextOf = (graph: Graph, hooks: Pick<ForwardHooks, "stream" | "encoded">): ForwardContext =>
  new ForwardContext(graph, { trains: () => false, dropout: false, ...hooks });

/** Transformers.js recognises the batch size by this name, and sets all other symbols of a cache to 0. */
const SYMBOLS = { batch: "batch_size" };

const encode = (outputs: Record<string, Value>, weights: Tensors, { tables }: PaddedStream): OnnxModel =>
  onnxModel(outputs, { embedded: new Map([...weights, ...tables]), symbols: SYMBOLS }).model;

/** A language model's texts, with outputs for each token, as other tools expect. */
class WholeCachedStream extends CachedStream {
  override outputRows(rows: Value): Value {
    return rows;
  }
}

/** The same for the texts that an encoder-decoder writes. */
class WholeWrittenStream extends WrittenStream {
  override outputRows(rows: Value): Value {
    return rows;
  }
}

function writeOutputs(context: ForwardContext, stream: PaddedStream, base: BaseModel): Record<string, Value> {
  const { labelCount, head, config, pooling = MEAN_POOLING } = base;
  if (head === "pooled") {
    const hidden = writeHiddenStates(context, base);
    return {
      last_hidden_state: reshape(hidden, ["batch", stream.sequence, config.hiddenSize]),
      [vectorOutput(base)]: writePooling(pooling, stream, hidden),
    };
  }
  const logits = writeModel(context, base, labelCount, head);
  return { logits: labelsTokens(head) ? reshape(logits, ["batch", "sequence", labelCount]) : logits };
}

/** Output of an embedding model: a vector for each text, or for each picture under Transformers.js's name. */
export const vectorOutput = ({ config }: Pick<BaseModel, "config">): string =>
  config.picture ? "pooler_output" : "sentence_embedding";

function readme(
  base: BaseModel,
  { task, maxLength }: AdapterDescription,
  quantization: OnnxQuantization | undefined,
): string {
  const { huggingFace } = findTaskKind(task.kind);
  const { pipelineCall, showLogits } = huggingFace.readme;
  const bits = quantization === "q8" ? 8 : 4;
  const dtype = quantization ? `"fp32", or "${quantization}" for the model with weights in ${bits} bits` : `"fp32"`;
  const { picture, sound } = base.config;
  const reads = picture
    ? `pictures are ${picture.width} × ${picture.height} pixels`
    : sound
      ? `sounds are cut or padded to ${samplesOf(sound, maxLength)} samples`
      : `texts are cut to ${maxLength} tokens`;
  const title = [
    `# ${task.name}`,
    `An ONNX model for Transformers.js and ONNX Runtime; ${reads}. \`dtype\` is ${dtype}.`,
  ];
  if (base.head === "pooled") return `${[...title, embeddingReadme(base)].join("\n\n")}\n`;
  if (readsSource(base)) {
    return `${[...title, rewritingReadme(huggingFace.pipeline)].join("\n\n")}\n`;
  }
  if (isPretrained(base.head)) return `${[...title, generationReadme(base)].join("\n\n")}\n`;
  const pipeline = `\`\`\`js
import { env, pipeline } from "@huggingface/transformers";

env.localModelPath = "/models/"; // where this folder lies
const classify = await pipeline("${huggingFace.pipeline}", "NAME_OF_THIS_FOLDER", { dtype: "fp32" });
console.log(await ${pipelineCall});
\`\`\``;
  const byHand = `\`\`\`js
import { ${huggingFace.autoClass}, AutoTokenizer, env } from "@huggingface/transformers";

env.localModelPath = "/models/"; // where this folder lies
const tokenizer = await AutoTokenizer.from_pretrained("NAME_OF_THIS_FOLDER");
const model = await ${huggingFace.autoClass}.from_pretrained("NAME_OF_THIS_FOLDER", { dtype: "fp32" });
const inputs = tokenizer("first text", { text_pair: "second text", padding: true, truncation: true });
const { logits } = await model(inputs);
${showLogits?.(labelNames(task))}
\`\`\``;
  const sections = [
    ...title,
    huggingFace.readme.outputs(labelNames(task), task.options),
    ...(pipelineCall ? [pipeline] : []),
    ...(showLogits
      ? [
          `The ${huggingFace.pipeline} pipeline takes no pairs and turns the one output of a regression into 1. For pairs and regressions, call the model (a single text is given without \`text_pair\`):`,
          byHand,
        ]
      : []),
  ];
  return `${sections.join("\n\n")}\n`;
}

function generationReadme({ tokenizer }: BaseModel): string {
  const prompt = tokenizer.chatTemplate
    ? '[{ role: "user", content: "Where is my parcel?" }]'
    : '"Where is my parcel?"';
  return `\`\`\`js
import { env, pipeline } from "@huggingface/transformers";

env.localModelPath = "/models/"; // where this folder lies
const write = await pipeline("text-generation", "NAME_OF_THIS_FOLDER", { dtype: "fp32" });
const [{ generated_text }] = await write(${prompt}, { max_new_tokens: 100 });
console.log(generated_text);
\`\`\``;
}

function rewritingReadme(pipeline: string): string {
  return `\`\`\`js
import { env, pipeline } from "@huggingface/transformers";

env.localModelPath = "/models/"; // where this folder lies
const write = await pipeline("${pipeline}", "NAME_OF_THIS_FOLDER", { dtype: "fp32" });
const [{ summary_text }] = await write("A long text.", { max_new_tokens: 100 });
console.log(summary_text);
\`\`\`

A prefix that the model was trained with is in config.json, and the pipeline puts it there. Transformers.js has no beam
search: it writes what \`aflora predict --num-beams 1\` writes. Give it one text at a time: with several, it continues each answer
until all have ended.`;
}

const POOLING_IN_JS: Record<PoolingMode, string> = { mean: "mean", cls: "cls", lasttoken: "last_token" };

function embeddingReadme(base: BaseModel): string {
  const { pooling = MEAN_POOLING, config } = base;
  if (config.picture) {
    return `\`\`\`js
import { env, pipeline } from "@huggingface/transformers";

env.localModelPath = "/models/"; // where this folder lies
const embed = await pipeline("image-feature-extraction", "NAME_OF_THIS_FOLDER", { dtype: "fp32" });
const vectors = await embed("picture.jpg", { pool: true });
\`\`\``;
  }
  return `\`\`\`js
import { env, pipeline } from "@huggingface/transformers";

env.localModelPath = "/models/"; // where this folder lies
const embed = await pipeline("feature-extraction", "NAME_OF_THIS_FOLDER", { dtype: "fp32" });
const vectors = await embed(["a text", "another"], { pooling: "${POOLING_IN_JS[pooling.mode]}", normalize: ${pooling.normalize} });
\`\`\`

ONNX Runtime gives the same vectors as the output \`${vectorOutput(base)}\`.`;
}
