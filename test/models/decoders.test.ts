import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import type { TensorSource } from "../../src/checkpoints/tensor-source.ts";
import { fullName } from "../../src/exchange/hugging-face.ts";
import { asFloat32, float32, type Tensor, type Tensors } from "../../src/graph/tensor.ts";
import { full } from "../../src/methods/full.ts";
import type { HeadName } from "../../src/models/architecture.ts";
import { describeModel, type ModelDescription } from "../../src/models/families.ts";
import { readModelWeights } from "../../src/models/model-weights.ts";
import { traceModel } from "../../src/models/trace.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { crossEntropy } from "../../src/tasks/objective.ts";
import type { EncodedExample, TrainingExample } from "../../src/tasks/task-kind.ts";
import { layOut } from "../../src/training/model-inputs.ts";
import { objectiveInputs, totalWeight } from "../../src/training/objective-inputs.ts";
import { type AdaptedModel, GRADIENT, writeInference, writeStep } from "../../src/training/step-graph.ts";

const folder = new URL("../fixtures/models/", import.meta.url);
const runtime = nodeRuntime({ threads: 1 });

interface Fixture {
  examples: { inputIds: number[] }[];
  loss: number;
  long: { inputIds: number[]; rows: number };
  sequence?: { labels: number[]; loss: number };
  token?: { labels: number[]; loss: number };
}

const read = (name: string) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
const open = (name: string): Promise<TensorSource> => openSafetensorsFile(fileURLToPath(new URL(name, folder)));
const folders = readdirSync(folder).filter((name) => existsSync(new URL(`${name}/decoder.json`, folder)));
const LABELS = 3;

/** A fixture under a head, every weight trained. */
async function load(name: string, head: HeadName) {
  const description = describeModel(read(`${name}/config.json`));
  const labelCount = head === "languageModel" ? description.config.vocabularySize : LABELS;
  const expected = await open(`${name}/decoder.safetensors`);
  const trace = traceModel(description, labelCount, head);
  const { weights, missing, unused } = await readModelWeights(
    await open(`${name}/model.safetensors`),
    description,
    trace,
  );
  for (const { name: own } of missing) weights.set(own, await expected.read(`${head}.${own}`));
  const adaptation = full.adapt({}, trace.sites);
  const model: AdaptedModel = { ...description, adaptation, labelCount, head, trainsHead: () => true };
  return { model, weights, missing, unused, expected, fixture: read(`${name}/decoder.json`) as Fixture };
}

const exampleOf = (inputIds: readonly number[], index: number, rows?: Int32Array): EncodedExample => ({
  index,
  encoding: { inputIds: Int32Array.from(inputIds), tokenTypeIds: new Int32Array(inputIds.length) },
  ...(rows && { rows }),
});

/** Every position of a text but the last `without`. */
const positions = (inputIds: readonly number[], without = 0): Int32Array =>
  Int32Array.from({ length: inputIds.length - without }, (_, position) => position);

/** With a class for each row that counts. */
function labelled(example: EncodedExample, classes: readonly number[], count: number): TrainingExample {
  const targets = new Float32Array(classes.length * count);
  classes.forEach((label, row) => {
    targets[row * count + label] = 1;
  });
  const weights = new Float32Array(classes.length).fill(1);
  return { ...example, targets: float32([classes.length, count], targets), weights };
}

describe("decoders against transformers and autograd (oracle/decoders.py)", () => {
  test.each(folders)("%s as a language model", async (name) => {
    const { model, weights, missing, unused, expected, fixture } = await load(name, "languageModel");
    expect([missing, unused]).toEqual([[], []]);

    const texts = fixture.examples.map(({ inputIds }) => inputIds);
    const logits = await infer(
      model,
      weights,
      texts.map((ids, i) => exampleOf(ids, i, positions(ids))),
    );
    expectNumbers(logits, await expected.read("logits"));

    const { inputIds, rows } = fixture.long;
    const last = positions(inputIds).subarray(-rows);
    expectNumbers(await infer(model, weights, [exampleOf(inputIds, 0, last)]), await expected.read("long.logits"));

    const examples = texts.map((ids, i) =>
      labelled(exampleOf(ids, i, positions(ids, 1)), ids.slice(1), model.labelCount),
    );
    const results = await train(model, weights, examples);
    expect(results.loss!.data[0]).toBeCloseTo(fixture.loss, 5);
    const compared = await expectGradients(model, results, expected, "gradients.");
    expect(compared.sort()).toEqual([...weights.keys()].sort());
  });

  test.each(folders)("%s for texts", async (name) => {
    const { model, weights, missing, expected, fixture } = await load(name, "sequence");
    expect(missing.map((weight) => weight.name)).toEqual(["score.weight"]);
    const texts = fixture.examples.map(({ inputIds }, i) => exampleOf(inputIds, i));
    expectNumbers(await infer(model, weights, texts), await expected.read("sequence.logits"));
    const { labels, loss } = fixture.sequence!;
    const results = await train(
      model,
      weights,
      texts.map((example, i) => labelled(example, [labels[i]!], LABELS)),
    );
    expect(results.loss!.data[0]).toBeCloseTo(loss, 5);
    expect(await expectGradients(model, results, expected, "sequence.gradients.")).toContain("score.weight");
  });

  const withTokens = folders.filter((name) => read(`${name}/decoder.json`).token);
  test.each(withTokens)("%s for words", async (name) => {
    const { model, weights, expected, fixture } = await load(name, "token");
    const texts = fixture.examples.map(({ inputIds }, i) => exampleOf(inputIds, i, positions(inputIds)));
    expectNumbers(await infer(model, weights, texts), await expected.read("token.logits"));
    const { labels, loss } = fixture.token!;
    let row = 0;
    const examples = texts.map((example) => {
      const start = row;
      row += example.rows!.length;
      return labelled(example, labels.slice(start, row), LABELS);
    });
    const results = await train(model, weights, examples);
    expect(results.loss!.data[0]).toBeCloseTo(loss, 5);
    await expectGradients(model, results, expected, "token.gradients.");
  });

  test("names in checkpoints are those that the family's weights get back", async () => {
    for (const name of folders) {
      const { model, expected } = await load(name, "languageModel");
      const names = [...traceModel(model, 0, "languageModel").weights.values()].map((weight) =>
        fullName(model, weight),
      );
      const stored = [...expected.tensors.keys()].filter((key) => key.startsWith("gradients."));
      expect(names.map((each) => `gradients.${each}`).sort(), name).toEqual(stored.sort());
    }
  });
});

async function infer(model: AdaptedModel, weights: Tensors, examples: readonly EncodedExample[]) {
  const { outputs, streams } = writeInference(model);
  const compiled = await runtime.compile(outputs, weights);
  const { logits } = await compiled.run(layOut(streams, examples).inputs);
  await compiled.release();
  return asFloat32(logits!).data;
}

async function train(model: AdaptedModel, weights: Tensors, examples: readonly TrainingExample[]) {
  const { outputs, streams } = writeStep(model, crossEntropy, { dropout: false });
  const compiled = await runtime.compile(outputs, weights);
  const results = await compiled.run({
    ...layOut(streams, examples).inputs,
    ...objectiveInputs(crossEntropy, model.labelCount, examples, totalWeight(examples)),
  });
  await compiled.release();
  return results;
}

function expectNumbers(found: Float32Array, { data }: Tensor<"float32">): void {
  expect(found).toHaveLength(data.length);
  const worst = data.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i]!)), 0);
  expect(worst).toBeLessThan(1e-4);
}

/** Every gradient of the fixture was found, and is the same relative to its largest element. @returns their names */
async function expectGradients(
  { architecture }: ModelDescription,
  results: Record<string, Tensor>,
  expected: TensorSource,
  prefix: string,
): Promise<string[]> {
  const keys = [...expected.tensors.keys()].filter((key) => key.startsWith(prefix));
  return Promise.all(
    keys.map(async (key) => {
      const full = key.slice(prefix.length);
      const name = full.startsWith(`${architecture.prefix}.`) ? full.slice(architecture.prefix.length + 1) : full;
      const { data } = await expected.read(key);
      const found = results[GRADIENT + name]!.data as Float32Array;
      const scale = Math.max(1e-4, ...data.map(Math.abs));
      const worst = data.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i]!)), 0);
      expect(found.length, name).toBe(data.length);
      expect(worst / scale, name).toBeLessThan(1e-3);
      return name;
    }),
  );
}
