import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { BASE_FORMATS } from "../../src/architectures/base-format.ts";
import { describeModel } from "../../src/architectures/families.ts";
import { readModelWeights } from "../../src/architectures/model-weights.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import type { TensorSource } from "../../src/checkpoints/tensor-source.ts";
import { elementsOf, float32 } from "../../src/graph/tensor.ts";
import { collectGarbage } from "../support/memory-in-use.ts";

const model = (name: string) =>
  describeModel(JSON.parse(readFileSync(new URL(`../fixtures/models/${name}/config.json`, import.meta.url), "utf8")));

/** A checkpoint whose tensors are all zeros. */
function checkpoint(shapes: Record<string, readonly number[]>, metadata: Record<string, string> = {}): TensorSource {
  return {
    location: "checkpoint",
    metadata,
    tensors: new Map(Object.entries(shapes).map(([name, shape]) => [name, { dtype: "F32", shape }])),
    read: async (name) => float32(shapes[name]!),
  };
}

const bert = model("bert-1");
const trace = traceModel(bert, 3);
const shapes = Object.fromEntries(
  [...trace.weights.values()].map(({ name, shape }) => [`bert.${name}`, shape as number[]]),
);
const names = (specs: { name: string }[]) => specs.map(({ name }) => name);

describe("readModelWeights", () => {
  test("ignores a classifier for another number of labels, but loads the rest of the head", async () => {
    const found = await readModelWeights(checkpoint(shapes), bert, traceModel(bert, 2));
    expect(names(found.missing)).toEqual(["classifier.weight", "classifier.bias"]);
    expect(found.unused).toEqual(["bert.classifier.weight", "bert.classifier.bias"]);
    expect(found.weights.has("pooler.dense.weight")).toBe(true);
  });

  test("ignores weights of the right shape that the task cannot use", async () => {
    const takes = ({ name }: { name: string }) => !name.startsWith("classifier.");
    const found = await readModelWeights(checkpoint(shapes), bert, trace, { takes });
    expect(names(found.missing)).toEqual(["classifier.weight", "classifier.bias"]);
  });

  test("initialises missing weights of the head, but not of the backbone", async () => {
    const { "bert.pooler.dense.weight": _, ...headless } = shapes;
    expect(names((await readModelWeights(checkpoint(headless), bert, trace)).missing)).toEqual(["pooler.dense.weight"]);
    const { "bert.encoder.layer.1.output.dense.bias": __, ...incomplete } = shapes;
    await expect(readModelWeights(checkpoint(incomplete), bert, trace)).rejects.toThrow(
      /^checkpoint has no tensor "encoder\.layer\.1\.output\.dense\.bias", which its config\.json calls for$/,
    );
    const other = { ...shapes, "bert.embeddings.LayerNorm.weight": [16] };
    await expect(readModelWeights(checkpoint(other), bert, trace)).rejects.toThrow(
      /^checkpoint: tensor "bert\.embeddings\.LayerNorm\.weight" is \[16\], but config\.json calls for \[32\]$/,
    );
  });

  test("finds token embeddings under the name of a tied weight", async () => {
    const { "bert.embeddings.word_embeddings.weight": words, ...others } = shapes;
    const decoder = { ...others, "cls.predictions.decoder.weight": words! };
    expect((await readModelWeights(checkpoint(decoder), bert, trace)).unused).toEqual([]);
    const shared = { ...others, "some.name": words! };
    const metadata = { "bert.embeddings.word_embeddings.weight": "some.name" };
    expect((await readModelWeights(checkpoint(shared, metadata), bert, trace)).unused).toEqual([]);
    await expect(readModelWeights(checkpoint(shared), bert, trace)).rejects.toThrow(
      /no tensor "embeddings\.word_embeddings/,
    );
  });
});

const wide = {
  model_type: "bert",
  vocab_size: 100,
  hidden_size: 256,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 1024,
};

describe.each(BASE_FORMATS.filter((format) => format !== "float32"))("a base in %s", (format) => {
  const specs = [...trace.weights.values()];
  const other = specs.filter(({ name }) => /^encoder.*(query|key|value|dense)\.weight$|word_emb/.test(name));

  test("quantises the backbone's linear layers and token embeddings, and keeps all else in float32", async () => {
    const { weights, quantized } = await readModelWeights(checkpoint(shapes), bert, trace, { format });
    expect(other).toHaveLength(2 * 6 + 1);
    for (const { name } of other) {
      expect(weights.has(name), name).toBe(false);
      const own = [...quantized.keys()].filter((part) => part.startsWith(`${name}.${format}.`));
      expect(own.length, name).toBeGreaterThan(1);
    }
    for (const { name, part } of specs) if (part === "head") expect(weights.has(name), name).toBe(true);
    expect(weights.size).toBe(trace.weights.size - other.length);
  });

  test("holds at most two layers in float32 at a time", async () => {
    const bytes = (): number => {
      collectGarbage();
      return process.memoryUsage().arrayBuffers;
    };
    const large = describeModel(wide);
    const largeTrace = traceModel(large, 2);
    const shapesOf = new Map([...largeTrace.weights.values()].map(({ name, shape }) => [name, shape as number[]]));
    const source = checkpoint(Object.fromEntries(shapesOf));
    const before = bytes();
    const seen: number[] = [];
    const watched: TensorSource = {
      ...source,
      async read(name) {
        const tensor = await source.read(name);
        if (tensor.shape.length === 2) seen.push(bytes() - before);
        return tensor;
      },
    };
    const { weights, quantized } = await readModelWeights(watched, large, largeTrace, { format });
    const kept = bytes() - before;
    const layer = 4 * wide.hidden_size * wide.intermediate_size;
    expect(seen).toHaveLength([...shapesOf.values()].filter(({ length }) => length === 2).length);
    expect(weights.size + quantized.size).toBeGreaterThan(shapesOf.size);
    // The process's other memory varies a little.
    expect(Math.max(...seen)).toBeLessThan(kept + 2 * layer + 2e5);
    expect(kept).toBeLessThan(0.6 * 4 * [...shapesOf.values()].reduce((sum, shape) => sum + elementsOf(shape), 0));
  });
});

test("a base for inference is computed on access, and not held", async () => {
  const source = checkpoint(shapes);
  const numbersOf = (name: string) => {
    const tensor = float32(shapes[name]!);
    tensor.data.forEach((_, i) => {
      tensor.data[i] = Math.sin(i + name.length);
    });
    return tensor;
  };
  let reads = 0;
  const readNow: TensorSource["readNow"] = (name) => {
    reads++;
    return numbersOf(name);
  };
  const read: TensorSource["read"] = async (name) => numbersOf(name);
  const kept = await readModelWeights({ ...source, read }, bert, trace, { format: "q8_0" });
  const made = await readModelWeights({ ...source, read, readNow }, bert, trace, { format: "q8_0" });
  expect(reads).toBe(0);
  expect([...made.quantized.keys()]).toEqual([...kept.quantized.keys()]);
  for (const [name, { dtype, shape, data }] of kept.quantized) {
    const own = made.quantized.get(name)!;
    expect([own.dtype, own.shape, own.data], name).toEqual([dtype, shape, data]);
  }
  expect(reads).toBe(2 * 6 + 1);
  await new Promise(setImmediate);
  collectGarbage();
  void [...made.quantized.values()][0]!.data;
  expect(reads).toBe(2 * 6 + 1 + 1);
});

test.each([
  ["bert-1", "classifier"],
  ["roberta-1", "classifier.out_proj"],
  ["distilbert-1", "classifier"],
  ["electra-1", "classifier.out_proj"],
  ["mpnet-1", "classifier.out_proj"],
  ["deberta-v2-1", "classifier"],
  ["modernbert-1", "classifier"],
])("the last layer of %s's head is %s", (name, classifier) => {
  expect(traceModel(model(name), 2).classifier).toBe(classifier);
  expect(traceModel(model(name), 2, "token").classifier).toBe("classifier");
});
