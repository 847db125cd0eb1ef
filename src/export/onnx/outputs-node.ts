import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { Adapter } from "../../base-models/adapter.ts";
import type { BaseModel } from "../../base-models/base-model.ts";
import { readMedia } from "../../base-models/read-media.ts";
import { Graph } from "../../graph/graph.ts";
import { float32, type Tensor as Values } from "../../graph/tensor.ts";
import type { Encoding } from "../../inputs/tokenizer.ts";
import type { CompiledGraph } from "../../runtime/compiled-graph.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { Example } from "../../tasks/example.ts";
import { argmax } from "../../tasks/probabilities.ts";
import type { EncodedExample, TaskKind } from "../../tasks/task-kind.ts";
import { findTaskKind } from "../../tasks/task-kinds.ts";
import { extraInputs } from "../../training/batches/model-inputs.ts";
import { readerOf } from "../../training/step-graph.ts";
import { type OnnxType, onnxFile, onnxNames, vectorOutput } from "./folder.ts";

/** Texts per run of an ONNX file. Padding must make no difference. */
const BATCH = 8;

export interface OnnxOutputs {
  /** `[rows, outputs]`, or `[rows, width]` after the readout of the kind of task. */
  values: Float32Array[];
  likeliest: Int32Array[];
}

/** Runs an exported model as Transformers.js does, with inputs padded as by its tokenizer, and an empty cache. */
export async function onnxOutputs(
  folder: string,
  type: OnnxType,
  base: BaseModel,
  { description }: Adapter,
  runtime: Runtime,
  examples: readonly Example[],
): Promise<OnnxOutputs> {
  const { task, maxLength } = description;
  const { tokenizer, labelCount } = base;
  const kind = findTaskKind(task.kind);
  const open = (name: string) =>
    InferenceSession.create(join(folder, onnxFile(name, type)), {
      intraOpNumThreads: runtime.threads,
      interOpNumThreads: 1,
    });
  const names = onnxNames(base);
  const session = await open(names.own);
  let encoder: InferenceSession | undefined;
  let readout: CompiledReadout | undefined;
  try {
    if (names.encoder) encoder = await open(names.encoder);
    readout = await compileReadout(kind, labelCount, runtime);
    const outputs: OnnxOutputs = { values: [], likeliest: [] };
    for (let start = 0; start < examples.length; start += BATCH) {
      const part = await readMedia(kind, examples.slice(start, start + BATCH), base);
      const encoded = part.map((example) => kind.encode(example, tokenizer, maxLength, task.options));
      const own = encoded.map(({ encoding, decoder }) => (encoder ? decoder! : encoding));
      const given = encoder ? await readBy(encoder, encoded, tokenizer.padTokenId) : besideTokens(encoded);
      const results = await session.run(inputsOf(session, own, tokenizer.padTokenId, given));
      const all = (results[vectorOutput(base)] ?? results.logits)!.data as Float32Array;
      const sequence = longestOf(own);
      for (const [i, each] of encoded.entries()) {
        // `[batch, outputs]`, or for tokens `[batch, sequence, outputs]`.
        const rows = each.rows ? Array.from(each.rows, (token) => i * sequence + token) : [i];
        const own = new Float32Array(rows.length * labelCount);
        rows.forEach((row, at) => {
          own.set(all.subarray(row * labelCount, (row + 1) * labelCount), at * labelCount);
        });
        outputs.likeliest.push(likeliestOf(own, labelCount));
        outputs.values.push(readout ? await readout.read(own, kind.targets(part[i]!, each, task.labels).targets) : own);
      }
    }
    return outputs;
  } finally {
    await session.release();
    await encoder?.release();
    await readout?.graph.release();
  }
}

function besideTokens(encoded: readonly EncodedExample[]): Record<string, Tensor> {
  const inputs = Object.entries(extraInputs(encoded));
  return Object.fromEntries(inputs.map(([name, { data, shape }]) => [name, new Tensor("float32", data, shape)]));
}

const longestOf = (encodings: readonly Encoding[]): number =>
  Math.max(...encodings.map(({ inputIds }) => inputIds.length));

async function readBy(
  encoder: InferenceSession,
  encoded: readonly EncodedExample[],
  padTokenId: number,
): Promise<Record<string, Tensor>> {
  const inputs = inputsOf(
    encoder,
    encoded.map(({ encoding }) => encoding),
    padTokenId,
  );
  const { last_hidden_state: hidden } = await encoder.run(inputs);
  return { encoder_hidden_states: hidden!, encoder_attention_mask: inputs.attention_mask! };
}

function inputsOf(
  session: InferenceSession,
  encodings: readonly Encoding[],
  padTokenId: number,
  given: Readonly<Record<string, Tensor>> = {},
): Record<string, Tensor> {
  const sequence = longestOf(encodings);
  const padded = (rows: readonly ArrayLike<number>[], filler: number): Tensor => {
    const data = new BigInt64Array(rows.length * sequence).fill(BigInt(filler));
    rows.forEach((row, i) => {
      for (let j = 0; j < row.length; j++) data[i * sequence + j] = BigInt(row[j]!);
    });
    return new Tensor("int64", data, [rows.length, sequence]);
  };
  const inputs: Record<string, () => Tensor> = {
    input_ids: () =>
      padded(
        encodings.map(({ inputIds }) => inputIds),
        padTokenId,
      ),
    attention_mask: () =>
      padded(
        encodings.map(({ inputIds }) => new Uint8Array(inputIds.length).fill(1)),
        0,
      ),
    token_type_ids: () =>
      padded(
        encodings.map(({ tokenTypeIds }) => tokenTypeIds),
        0,
      ),
  };
  const all = session.inputNames.map((name, i) => [
    name,
    given[name] ?? inputs[name]?.() ?? emptyCache(session, i, encodings.length),
  ]);
  return Object.fromEntries(all as [string, Tensor][]);
}

/** Keys or values of no tokens, `[batch, heads, 0, size]`. */
function emptyCache({ inputMetadata }: InferenceSession, input: number, batch: number): Tensor {
  const { shape } = inputMetadata[input] as { shape: readonly (number | string)[] };
  return new Tensor("float32", new Float32Array(0), [batch, shape[1] as number, 0, shape[3] as number]);
}

function likeliestOf(rows: Float32Array, outputs: number): Int32Array {
  return Int32Array.from({ length: rows.length / outputs }, (_, at) =>
    argmax(rows.subarray(at * outputs, (at + 1) * outputs)),
  );
}

interface CompiledReadout {
  graph: CompiledGraph;
  read(outputs: Float32Array, targets: Values): Promise<Float32Array>;
}

async function compileReadout(kind: TaskKind, outputs: number, runtime: Runtime): Promise<CompiledReadout | undefined> {
  const read = readerOf(kind);
  if (!read) return undefined;
  const graph = new Graph();
  const target = kind.objective.target(outputs);
  const logits = graph.leaf("input", "logits", "float32", ["rows", outputs]);
  const targets = graph.leaf("input", "targets", target.dtype, ["rows", ...target.shape]);
  const compiled = await runtime.compile({ read: read(logits, targets) }, new Map());
  return {
    graph: compiled,
    async read(rows, targets) {
      const { read } = await compiled.run({ logits: float32([rows.length / outputs, outputs], rows), targets });
      return read!.data as Float32Array;
    },
  };
}
