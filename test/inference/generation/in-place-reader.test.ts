import { readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { type BaseFormat, isQuantized, quantizeWeight } from "../../../src/architectures/base-format.ts";
import { describeModel } from "../../../src/architectures/families.ts";
import { traceModel } from "../../../src/architectures/trace.ts";
import type { Tensor, Tensors } from "../../../src/graph/tensor.ts";
import { CachedDecoder } from "../../../src/inference/generation/cached-decoder.ts";
import { InPlaceReader } from "../../../src/inference/generation/in-place-reader.ts";
import { full } from "../../../src/methods/full.ts";
import { normal, randomFor } from "../../../src/methods/initializers.ts";
import { lora } from "../../../src/methods/lora.ts";
import { nodeRuntime } from "../../../src/runtime/runtime-node.ts";
import type { AdaptedModel } from "../../../src/training/step-graph.ts";
import { exampleOf, infer } from "../../support/decoder-fixture.ts";
import { runtime } from "../../support/runtime.ts";

let decoder: CachedDecoder | undefined;
afterEach(async () => {
  await decoder?.release();
  decoder = undefined;
});

/** A fixture's model with random weights, with heads of a size that ONNX Runtime's kernel supports. */
function modelOf(name: string, headSize = 16): { model: AdaptedModel; weights: Tensors } {
  const folder = new URL(`../../fixtures/models/${name}/`, import.meta.url);
  const config = JSON.parse(readFileSync(new URL("config.json", folder), "utf8"));
  const description = describeModel({ ...config, head_dim: headSize });
  const labelCount = description.config.vocabularySize;
  const trace = traceModel(description, labelCount, "languageModel");
  const weights = new Map(
    [...trace.weights.values()].map(({ name: own, shape }) => {
      return [own, normal(0.3)(shape as number[], randomFor(3, own))] as const;
    }),
  );
  const adaptation = full.adapt({}, trace.modules);
  return { model: { ...description, adaptation, labelCount, head: "languageModel", trainsHead: () => true }, weights };
}

/** The same with its base in few bits, whose products round their inputs. */
function roundedModelOf(name: string, format: BaseFormat): { model: AdaptedModel; weights: Tensors } {
  const { model, weights } = modelOf(name);
  const trace = traceModel(model, model.labelCount, "languageModel");
  const adaptation = lora.adapt(lora.options.parse({ rank: 2 }), trace.modules);
  const base = [...trace.weights.values()].flatMap((spec): [string, Tensor][] => {
    const values = weights.get(spec.name) as Tensor<"float32">;
    return isQuantized(spec, format) ? quantizeWeight(spec, format, values) : [[spec.name, values]];
  });
  const own = adaptation.parameters.map(({ name: part, shape }): [string, Tensor] => {
    return [part, normal(0.3)(shape, randomFor(5, part))];
  });
  return { model: { ...model, adaptation, format }, weights: new Map([...base, ...own]) };
}

/** Logits after a text, read at once. */
async function afterText(model: AdaptedModel, weights: Tensors, text: readonly number[]) {
  return infer(model, weights, [exampleOf(text, 0, Int32Array.of(text.length - 1))]);
}

function expectClose(found: Float32Array, expected: Float32Array): void {
  expect(found.length).toBe(expected.length);
  expect(Math.max(...found.map((x, i) => Math.abs(x - expected[i]!)))).toBeLessThan(1e-4);
}

const textOf = (length: number, first: number): number[] =>
  Array.from({ length }, (_, i) => 3 + ((first + i * i * 7) % 90));

// Windows of 6 tokens, soft-capped scores, normalized queries and keys.
test.each([
  ["gemma2-1", 16],
  ["gemma3-1", 16],
  ["mistral-1", 8],
  ["qwen3-1", 16],
])("%s with heads of %i reads in place what it reads at once", async (name, headSize) => {
  const { model, weights } = modelOf(name, headSize);
  decoder = await CachedDecoder.compile(model, weights, runtime);
  const reader = decoder.reader();
  expect(reader).toBeInstanceOf(InPlaceReader);
  const texts = [textOf(9, 5), textOf(30, 8), textOf(2, 1)];
  const check = async (logits: readonly Float32Array[], of: readonly (readonly number[])[]): Promise<void> => {
    for (const [i, text] of of.entries()) expectClose(logits[i]!, await afterText(model, weights, text));
  };
  await check(await reader.read(texts), texts);
  for (const text of texts) text.push(text.length % 7);
  await check(await reader.read(texts.map((text) => [text.at(-1)!])), texts);
  // The second text is dropped; one with the beginning of the first joins.
  reader.keep([0, 2]);
  const others = [texts[0]!, texts[2]!, [...texts[0]!, 40, 41, 42]];
  await check(await reader.join!([others[2]!]), [others[2]!]);
  for (const text of others) text.push(11);
  await check(await reader.read(others.map(() => [11])), others);
  reader.release();
});

test.each([
  ["q4_1", { constantAdapter: false }],
  ["q4_1", { constantAdapter: true }],
  ["q8_0", { constantAdapter: true }],
] as const)("beside others a text in %s has the logits that it has alone, to the bit (%o)", async (format, options) => {
  const { model, weights } = roundedModelOf("llama-1", format);
  decoder = await CachedDecoder.compile(model, weights, runtime, options);
  const texts = [textOf(40, 5), textOf(12, 8), textOf(60, 5)];
  const next = texts.map((_, i) => [7 + i, 30 - i, 50, 4 + i, 9]);
  const alone: Float32Array[][] = [];
  for (const [i, text] of texts.entries()) {
    const reader = decoder.reader();
    const logits = [await reader.read([text])];
    for (const token of next[i]!) logits.push(await reader.read([[token]]));
    alone.push(logits.flat());
    reader.release();
  }
  const reader = decoder.reader();
  const together = (await reader.read(texts)).map((logits) => [logits]);
  for (let step = 0; step < 5; step++) {
    const logits = await reader.read(next.map((tokens) => [tokens[step]!]));
    for (const [i, each] of logits.entries()) together[i]!.push(each);
  }
  reader.release();
  expect(together).toEqual(alone);
});

test.each(["q4_1", "q8_0"] as const)(
  "over %s, an only text has the same logits token by token as several tokens at once, to the bit",
  async (format) => {
    const { model, weights } = roundedModelOf("llama-1", format);
    const compiled = await CachedDecoder.compile(model, weights, runtime);
    decoder = compiled;
    const adapter = new Map();
    const [prompt, next] = [textOf(40, 5), [7, 9, 30, 50, 4, 4, 21, 8]];
    const read = async (runs: readonly number[][]): Promise<Float32Array[]> => {
      const reader = compiled.reader(adapter, { alone: true });
      const logits = [(await reader.read([prompt]))[0]!.slice()];
      for (const ids of runs) {
        const each = ids.length === 1 ? await reader.read([ids]) : await reader.readEach!(ids);
        logits.push(...each.map((own) => own.slice()));
      }
      reader.release();
      return logits;
    };
    const each = await read(next.map((id) => [id]));
    // The second reader begins with the state of the first.
    expect(await read([next.slice(0, 2), next.slice(2, 3), next.slice(3)])).toEqual(each);
    const reader = compiled.reader(adapter);
    const beside = [(await reader.read([prompt]))[0]!.slice()];
    for (const id of next) beside.push((await reader.read([[id]]))[0]!.slice());
    reader.release();
    for (const [i, logits] of each.entries()) expectClose(logits, beside[i]!);
  },
);

test.each([128, 129, 130])(
  "a prompt of %i tokens over few bits has the same logits read at once and in parts, to the bit",
  async (length) => {
    const { model, weights } = roundedModelOf("llama-1", "q4_1");
    const compiled = await CachedDecoder.compile(model, weights, nodeRuntime({ threads: 2 }));
    decoder = compiled;
    const text = textOf(length, 3);
    const read = async (...parts: number[][]): Promise<Float32Array> => {
      const reader = compiled.reader();
      let logits: Float32Array[] = [];
      for (const part of parts) logits = await reader.read([part]);
      reader.release();
      return logits[0]!.slice();
    };
    expect(await read(text)).toEqual(await read(text.slice(0, 40), text.slice(40)));
  },
);

test.each(["float32", "q4_1"] as const)("over %s, parameters that no reader passes are constants", async (format) => {
  const { model, weights } = roundedModelOf("mistral-1", format);
  const read = async (options: { constantAdapter: boolean }): Promise<Float32Array[]> => {
    const compiled = await CachedDecoder.compile(model, weights, runtime, options);
    const reader = compiled.reader();
    const logits = [...(await reader.read([textOf(9, 5)])), ...(await reader.read([[7]]))];
    reader.release();
    await compiled.release();
    return logits;
  };
  const [fed, constant] = [await read({ constantAdapter: false }), await read({ constantAdapter: true })];
  for (const [i, logits] of constant.entries()) expectClose(logits, fed[i]!);
});

test("an only text has logits after each token, and can remove the last ones", async () => {
  const { model, weights } = modelOf("gemma2-1");
  decoder = await CachedDecoder.compile(model, weights, runtime);
  const reader = decoder.reader();
  const text = textOf(140, 2);
  await reader.read([text.slice(0, 12)]);
  const each = await reader.readEach!(text.slice(12));
  for (const i of [0, 50, 127]) expectClose(each[i]!, await afterText(model, weights, text.slice(0, 13 + i)));
  reader.forget!(100);
  const [after] = await reader.readEach!([7]);
  expectClose(after!, await afterText(model, weights, [...text.slice(0, 40), 7]));
  reader.release();
});

test("a reader continues from the state of the previous one, unless that one had another adapter", async () => {
  const { model, weights } = modelOf("gemma3-1");
  decoder = await CachedDecoder.compile(model, weights, runtime);
  const other = new Map([...weights].map(([name, { shape }]) => [name, normal(0.2)([...shape], randomFor(4, name))]));
  const text = textOf(150, 2);
  const read = async (prompt: readonly number[], adapter: Tensors): Promise<void> => {
    const reader = decoder!.reader(adapter);
    const [logits] = await reader.read([prompt]);
    expectClose(logits!, await afterText(model, adapter, prompt));
    reader.release();
  };
  await read(text.slice(0, 20), weights);
  await read(text, weights);
  await read([...text.slice(0, 30), 9, 9, 9], weights);
  await read(text.slice(0, 40), other);
  await read(text.slice(0, 40), weights);
});
