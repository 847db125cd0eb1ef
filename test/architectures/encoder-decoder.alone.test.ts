import { beforeAll, expect, test } from "vitest";
import { describeModel, type ModelDescription, registerArchitecture } from "../../src/architectures/families.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { elementsOf, type Tensor } from "../../src/graph/tensor.ts";
import type { Encoding } from "../../src/inputs/tokenizer.ts";
import { full } from "../../src/methods/full.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { crossEntropy } from "../../src/tasks/losses/objective.ts";
import type { TrainingExample } from "../../src/tasks/task-kind.ts";
import { TrainingStep } from "../../src/training/step.ts";
import { relay } from "../outside/relay.ts";
import { runtime } from "../support/runtime.ts";
import { difference, plainAttention, type Rows } from "./plain-attention.ts";

const CONFIG = {
  model_type: "relay",
  vocab_size: 11,
  d_model: 6,
  ffn_dim: 7,
  layers: 1,
  attention_heads: 4,
  key_value_heads: 2,
  head_dim: 3,
  max_position_embeddings: 8,
};
const SHAPE = { heads: 4, keyValueHeads: 2, size: 3 };
const LABELS = 3;
type Head = "sequence" | "token";

let description: ModelDescription;
beforeAll(() => {
  registerArchitecture(relay);
  description = describeModel(CONFIG);
});

const textOf = (length: number, seed: number): Encoding => ({
  inputIds: Int32Array.from({ length }, (_, i) => (seed * 7 + i * 5) % CONFIG.vocab_size),
  tokenTypeIds: new Int32Array(length),
});

/** Texts of the encoder and the decoder; neither is always longer. */
const LENGTHS = [
  [3, 2],
  [1, 4],
  [5, 1],
  [2, 3],
] as const;

/** A label for each text, or for some of the decoder's tokens. */
function examplesFor(head: Head): TrainingExample[] {
  return LENGTHS.map(([own, other], index) => {
    const rows = head === "token" ? Int32Array.from({ length: Math.ceil(other / 2) }, (_, i) => 2 * i) : undefined;
    const count = rows?.length ?? 1;
    const data = new Float32Array(count * LABELS);
    for (let row = 0; row < count; row++) data[row * LABELS + ((index + row) % LABELS)] = 1;
    return {
      index,
      encoding: textOf(own, index),
      decoder: textOf(other, index + 5),
      ...(rows && { rows }),
      targets: { dtype: "float32", shape: [count, LABELS], data },
      weights: Float32Array.from({ length: count }, (_, row) => 1 + row),
    };
  });
}

function weightsFor(head: Head): Map<string, Tensor<"float32">> {
  const { weights } = traceModel(description, LABELS, head);
  return new Map(
    [...weights.values()].map(({ name, shape }) => {
      return [name, normal(0.5)(shape as number[], randomFor(2, name))];
    }),
  );
}

/** One training step with all weights trainable. */
async function step(head: Head, weights: Map<string, Tensor<"float32">>, tokenBudget: number, dropout = false) {
  const adaptation = full.adapt({}, traceModel(description, LABELS, head).modules);
  const model = { ...description, adaptation, labelCount: LABELS, head, trainsHead: () => true };
  const settings = { objective: crossEntropy, tokenBudget, dropout, seed: 1 };
  const compiled = await TrainingStep.compile(model, weights, runtime, settings);
  const outcome = await compiled.run(0, examplesFor(head));
  await compiled.release();
  return outcome;
}

/** The model and its loss again, in plain loops and double precision. */
function plainLoss(weights: ReadonlyMap<string, Float64Array>, examples: readonly TrainingExample[]): number {
  const row = (name: string, index: number, width: number): number[] =>
    Array.from(weights.get(name)!.subarray(index * width, (index + 1) * width));
  const linear = (rows: Rows, name: string): number[][] => {
    const bias = weights.get(`${name}.bias`)!;
    return rows.map((x) =>
      Array.from(bias, (b, i) => row(`${name}.weight`, i, x.length).reduce((sum, w, j) => sum + w * x[j]!, b)),
    );
  };
  const plus = (a: Rows, b: Rows): number[][] => a.map((x, i) => x.map((value, j) => value + b[i]![j]!));
  const embed = ({ inputIds }: Encoding, side: string): number[][] =>
    Array.from(inputIds, (id, position) => {
      const at = row(`${side}.embed_positions.weight`, position, CONFIG.d_model);
      return row("shared.weight", id, CONFIG.d_model).map((value, i) => value + at[i]!);
    });
  const attend = (x: Rows, seen: Rows, name: string, sees?: (query: number, key: number) => boolean) => {
    const [q, k, v] = [linear(x, `${name}.q_proj`), linear(seen, `${name}.k_proj`), linear(seen, `${name}.v_proj`)];
    return plus(x, linear(plainAttention(q, k, v, SHAPE, sees), `${name}.out_proj`));
  };
  const feedForward = (x: Rows, name: string) =>
    plus(
      x,
      linear(
        linear(x, `${name}.fc1`).map((values) => values.map(Math.tanh)),
        `${name}.fc2`,
      ),
    );

  let loss = 0;
  let total = 0;
  for (const { encoding, decoder, rows, targets, weights: counts } of examples) {
    const read = embed(encoding, "encoder");
    const encoded = feedForward(attend(read, read, "encoder.layers.0.self_attn"), "encoder.layers.0");
    const written = embed(decoder!, "decoder");
    const itself = attend(written, written, "decoder.layers.0.self_attn", (query, key) => key <= query);
    const hidden = feedForward(attend(itself, encoded, "decoder.layers.0.encoder_attn"), "decoder.layers.0");
    const chosen = rows ? Array.from(rows, (position) => hidden[position]!) : [hidden.at(-1)!];
    linear(chosen, "score").forEach((logits, i) => {
      const normaliser = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
      const label = targets.data.subarray(i * LABELS, (i + 1) * LABELS).indexOf(1);
      loss += counts[i]! * (normaliser - logits[label]!);
      total += counts[i]!;
    });
  }
  return loss / total;
}

/** Only every n-th element of a gradient is compared, because plain loops are slow. */
const EVERY = 5;

test.each<Head>(["sequence", "token"])(
  "an encoder-decoder with a %s head: loss and gradients equal plain loops for any micro-batches",
  async (head) => {
    const weights = weightsFor(head);
    const doubles = new Map([...weights].map(([name, { data }]) => [name, Float64Array.from(data)]));
    const plain = () => plainLoss(doubles, examplesFor(head));
    const outcomes = [await step(head, weights, 1), await step(head, weights, 100)];
    for (const { loss, gradients, tokens } of outcomes) {
      expect(loss).toBeCloseTo(plain(), 5);
      expect(tokens).toBe(21);
      expect([...gradients.keys()].sort()).toEqual([...weights.keys()].sort());
    }
    for (const [name, { shape }] of weights) {
      const found = outcomes.map(({ gradients }) => gradients.get(name)!.data);
      for (const data of found) expect(data, name).toHaveLength(elementsOf(shape));
      for (let i = 0; i < elementsOf(shape); i += EVERY) {
        const expected = difference(doubles.get(name)!, i, plain);
        for (const data of found) expect(data[i], `${name}[${i}]`).toBeCloseTo(expected, 5);
      }
    }
  },
);

test("dropout between texts of different lengths does not depend on micro-batches", async () => {
  description = describeModel({ ...CONFIG, attention_dropout: 0.3 });
  const weights = weightsFor("sequence");
  const [whole, cut] = [await step("sequence", weights, 100, true), await step("sequence", weights, 1, true)];
  expect(cut.loss).toBeCloseTo(whole.loss, 5);
  expect((await step("sequence", weights, 100)).loss).not.toBeCloseTo(whole.loss, 3);
});
