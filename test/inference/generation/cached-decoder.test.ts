import { afterEach, describe, expect, test } from "vitest";
import { traceModel } from "../../../src/architectures/trace.ts";
import { UserError } from "../../../src/errors.ts";
import type { Tensors } from "../../../src/graph/tensor.ts";
import { CachedDecoder } from "../../../src/inference/generation/cached-decoder.ts";
import { likeliest } from "../../../src/inference/generation/choose-token.ts";
import { normal, randomFor } from "../../../src/methods/initializers.ts";
import { lora } from "../../../src/methods/lora.ts";
import type { AdaptedModel } from "../../../src/training/step-graph.ts";
import { DECODERS, exampleOf, infer, loadDecoder } from "../../support/decoder-fixture.ts";
import { runtime } from "../../support/runtime.ts";

let decoder: CachedDecoder | undefined;
afterEach(async () => {
  await decoder?.release();
  decoder = undefined;
});

/** Logits after each text, read at once. */
async function afterWhole(model: AdaptedModel, weights: Tensors, texts: readonly (readonly number[])[]) {
  const examples = texts.map((text, i) => exampleOf(text, i, Int32Array.of(text.length - 1)));
  const all = await infer(model, weights, examples);
  return texts.map((_, i) => all.subarray(i * model.labelCount, (i + 1) * model.labelCount));
}

function expectClose(found: readonly Float32Array[], expected: readonly Float32Array[]): void {
  expect(found.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
  const worst = Math.max(...found.flatMap((each, i) => Array.from(each, (x, j) => Math.abs(x - expected[i]![j]!))));
  expect(worst).toBeLessThan(1e-4);
}

describe("a decoder with its cache", () => {
  test.each(DECODERS)("%s generates the tokens of transformers' generate, three prompts at once", async (name) => {
    const { model, weights, numbers } = await loadDecoder(name, "languageModel");
    decoder = await CachedDecoder.compile(model, weights, runtime);
    const reader = decoder.reader();
    const prompts = numbers.greedy.map(({ prompt }) => prompt);
    const written = prompts.map((): number[] => []);
    let logits = await reader.read(prompts);
    expectClose(logits, await afterWhole(model, weights, prompts));
    for (let step = 0; step < numbers.greedy[0]!.continuation.length; step++) {
      const next = logits.map(likeliest);
      for (const [i, token] of next.entries()) written[i]!.push(token);
      logits = await reader.read(next.map((token) => [token]));
    }
    reader.release();
    expect(written).toEqual(numbers.greedy.map(({ continuation }) => continuation));
    const whole = prompts.map((prompt, i) => [...prompt, ...written[i]!]);
    expectClose(logits, await afterWhole(model, weights, whole));
  });

  test.each(DECODERS)("%s reads pieces of any length, with texts dropped and duplicated in between", async (name) => {
    const { model, weights } = await loadDecoder(name, "languageModel");
    decoder = await CachedDecoder.compile(model, weights, runtime);
    const reader = decoder.reader();
    let texts: number[][] = [[], [], []];
    const read = async (more: number[][]): Promise<void> => {
      texts = texts.map((text, i) => [...text, ...more[i]!]);
      expectClose(await reader.read(more), await afterWhole(model, weights, texts));
    };
    await read([[5, 9, 33], [8, 7, 41, 52, 61, 5, 9, 90, 17], [30]]);
    await read([[50], [22], [12, 13, 14, 15]]);
    reader.keep([2, 0, 2]);
    texts = [texts[2]!, texts[0]!, texts[2]!];
    await read([[7, 8], [6], [9]]);
    reader.keep([1]);
    texts = [texts[1]!];
    await read([[64, 65, 66, 67, 68, 69, 70]]);
    reader.release();
  });

  test("reads with each reader's own adapter", async () => {
    const { model, weights } = await loadDecoder("llama-1", "languageModel");
    const { modules } = traceModel(model, 0, "languageModel");
    const adaptation = lora.adapt(lora.options.parse({ rank: 2 }), modules);
    const adapted = { ...model, adaptation };
    const adapters = [1, 2].map(
      (seed) =>
        new Map(
          adaptation.parameters.map(({ name, shape }) => [name, normal(0.3)(shape, randomFor(seed, name))] as const),
        ),
    );
    decoder = await CachedDecoder.compile(adapted, new Map([...weights, ...adapters[0]!]), runtime);
    const prompt = [[11, 12, 13]];
    const readers = [decoder.reader(), decoder.reader(adapters[1])];
    for (const [i, reader] of readers.entries()) {
      const both = new Map([...weights, ...adapters[i]!]);
      expectClose(await reader.read(prompt), await afterWhole(adapted, both, prompt));
      expectClose(await reader.read([[44]]), await afterWhole(adapted, both, [[...prompt[0]!, 44]]));
    }
  });

  test("refuses a text longer than the model's positions, and continues from before", async () => {
    const { model, weights } = await loadDecoder("llama-1", "languageModel");
    decoder = await CachedDecoder.compile({ ...model, config: { ...model.config, maxLength: 4 } }, weights, runtime);
    const reader = decoder.reader();
    await reader.read([[5, 6, 7]]);
    await expect(reader.read([[8, 9]])).rejects.toThrow(UserError);
    await expect(reader.read([[8, 9]])).rejects.toThrow(/text of 5 tokens is longer than the 4/);
    expectClose(await reader.read([[8]]), await afterWhole(model, weights, [[5, 6, 7, 8]]));
  });
});
