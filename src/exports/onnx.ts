import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import type { AdapterDescription } from "../finetuning/adapter.ts";
import type { BaseModel } from "../finetuning/base-model.ts";
import type { Dimension, Shape } from "../graph/dimension.ts";
import { Graph, type LeafKind, type Value } from "../graph/graph.ts";
import { encodeOnnx } from "../graph/onnx.ts";
import { cast, gather, reduceSum, reshape, sliceSize, sub, transpose } from "../graph/ops.ts";
import { type DataType, float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import type { LengthInput, ModelInputs } from "../models/architecture.ts";
import { ForwardContext } from "../models/forward-context.ts";
import { writeModel } from "../models/trace.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { labelNames, writeConfig, writeTokenizerJson } from "./hugging-face.ts";
import { quantizeOnnx } from "./quantize.ts";

/** Where Transformers.js looks for a model: as it is, and with int8 weights (`dtype: "q8"`). */
export const ONNX_FILES = { float32: "onnx/model.onnx", q8: "onnx/model_quantized.onnx" } as const;

/** Bytes of weights; a protobuf message has at most 2 GiB, tables and graph included. */
const LARGEST = 2 ** 31 - 2 ** 27;

/**
 * Writes a folder that Transformers.js loads by its path: configuration, tokenizer and the model with `weights` in it.
 * @param q8 whether to write the model with int8 weights too
 * @throws UserError where the model is too large for the format.
 */
export async function writeOnnxFolder(
  folder: string,
  base: BaseModel,
  description: AdapterDescription,
  weights: Tensors<"float32">,
  q8: boolean,
): Promise<void> {
  const size = [...base.trace.weights.keys()].reduce((bytes, name) => bytes + weights.get(name)!.data.byteLength, 0);
  if (size > LARGEST) {
    throw new UserError(
      `the model has ${(size / 1e9).toFixed(1)} GB of weights, more than an ONNX file can hold; use --format merged`,
    );
  }
  await mkdir(join(folder, "onnx"));
  const maxLength = Math.min(description.maxLength, base.config.maxLength);
  const bytes = encodeModel(base, weights, maxLength);
  await writeFile(join(folder, ONNX_FILES.float32), bytes);
  if (q8) {
    const linear = base.trace.sites.map(({ name }) => `${name}.weight`);
    await writeFile(join(folder, ONNX_FILES.q8), quantizeOnnx(bytes, new Set(linear)));
  }
  // In a page Transformers.js would otherwise ask for int8.
  await writeConfig(folder, base, description, q8 ? {} : { "transformers.js_config": { dtype: "fp32" } });
  await writeTokenizerJson(folder, base, maxLength);
  await writeFile(join(folder, "README.md"), readme(description, q8));
}

/** The model with its weights as an ONNX file, with the inputs and the output that Transformers.js knows. */
function encodeModel(base: BaseModel, weights: Tensors<"float32">, maxLength: number): Uint8Array {
  const graph = new ExportGraph(base, maxLength);
  const { labelCount, head } = base;
  const logits = writeModel(new ExportContext(graph), base, labelCount, head);
  const shaped = head === "token" ? transpose(reshape(logits, ["sequence", "batch", labelCount]), [1, 0, 2]) : logits;
  return encodeOnnx({ logits: shaped }, new Map([...weights, ...graph.tables])).bytes;
}

/** Takes `[batch, sequence]` int64 inputs, as every tool gives them. */
class ExportContext extends ForwardContext {
  constructor(graph: Graph) {
    super(graph, { trains: () => false, dropout: false });
  }

  override inputs(): ModelInputs {
    const input = (name: string): Value => this.graph.leaf("input", name, "int64", ["batch", "sequence"]);
    const positions = (name: string): Value => cast(transpose(input(name), [1, 0]), "int32");
    return {
      inputIds: positions("input_ids"),
      tokenTypeIds: positions("token_type_ids"),
      attentionMask: cast(input("attention_mask"), "float32"),
    };
  }

  override rowDropout(x: Value): Value {
    return x;
  }
}

/** Computes what depends on the padded length alone from tables for lengths up to `maxLength`: nobody feeds it. */
class ExportGraph extends Graph {
  readonly tables = new Map<string, Tensor<"float32">>();
  readonly #base: BaseModel;
  readonly #maxLength: number;
  readonly #longest: Record<string, LengthInput>;

  constructor(base: BaseModel, maxLength: number) {
    super();
    this.#base = base;
    this.#maxLength = maxLength;
    this.#longest = this.#inputsOf(maxLength);
  }

  override leaf(kind: Exclude<LeafKind, "constant">, name: string, dtype: DataType, shape: Shape): Value {
    const longest = this.#longest[name];
    if (!longest || kind !== "input") return super.leaf(kind, name, dtype, shape);
    return this.#isCut(name) ? this.#cut(name, longest, dtype, shape) : this.#select(name, longest, dtype, shape);
  }

  #inputsOf(length: number): Record<string, LengthInput> {
    return this.#base.architecture.lengthInputs?.(this.#base.config, length) ?? {};
  }

  #table(name: string, data: Float32Array | Int32Array, shape: readonly number[]): Value {
    this.tables.set(name, float32(shape, Float32Array.from(data)));
    return super.leaf("frozen", name, "float32", shape);
  }

  /** Whether a shorter length's values are the first of the longest one's along every axis. */
  #isCut(name: string): boolean {
    const longest = this.#longest[name]!;
    return [1, 2, this.#maxLength >> 1, this.#maxLength - 1]
      .filter((length) => length > 0)
      .every((length) => {
        const { data, shape } = this.#inputsOf(length)[name]!;
        const width = shape.at(-1)!;
        const stride = longest.shape.at(-1)!;
        return data.every((value, i) => value === longest.data[Math.floor(i / width) * stride + (i % width)]);
      });
  }

  #cut(name: string, { data, shape }: LengthInput, dtype: DataType, wanted: Shape): Value {
    const table = this.#table(name, data, shape);
    const cut = wanted.reduce<Value>(
      (value, size, axis) => (typeof size === "number" ? value : sliceSize(value, axis, 0, size)),
      table,
    );
    return dtype === "float32" ? cut : cast(cut, dtype);
  }

  /** A row for each length, of which the right one is looked up and cut. */
  #select(name: string, { shape }: LengthInput, dtype: DataType, wanted: Shape): Value {
    const rows = this.#maxLength;
    const width = shape[0]!;
    const all = new Float32Array(rows * width);
    for (let length = 1; length <= rows; length++) all.set(this.#inputsOf(length)[name]!.data, (length - 1) * width);
    const ones = this.#table("lengths", new Float32Array(rows).fill(1), [rows]);
    const row = sub(reduceSum(sliceSize(ones, 0, 0, "sequence"), [0]), 1);
    const found = gather(this.#table(name, all, [rows, width]), cast(row, "int32"));
    return cast(sliceSize(reshape(found, [width]), 0, 0, wanted[0] as Dimension), dtype);
  }
}

function readme({ task, maxLength }: AdapterDescription, q8: boolean): string {
  const { huggingFace } = findTaskKind(task.kind);
  const { pipelineCall, showLogits } = huggingFace.readme;
  const dtype = q8 ? `"fp32", or "q8" for the model with int8 weights` : `"fp32"`;
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
    `# ${task.name}`,
    `An ONNX model for Transformers.js and ONNX Runtime; texts are cut to ${maxLength} tokens. \`dtype\` is ${dtype}.`,
    ...(pipelineCall ? [pipeline] : []),
    ...(showLogits
      ? [
          `The ${huggingFace.pipeline} pipeline takes no pairs and turns the one output of a regression into 1. For those, call the model (a single text is given without \`text_pair\`):`,
          byHand,
        ]
      : []),
  ];
  return `${sections.join("\n\n")}\n`;
}
