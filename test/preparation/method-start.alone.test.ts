import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import type { BaseFormat } from "../../src/architectures/base-format.ts";
import type { LinearModule } from "../../src/architectures/model-parts.ts";
import { loadAdapter } from "../../src/base-models/adapter-folder-node.ts";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { gemm } from "../../src/graph/ops.ts";
import { float32, type Tensor } from "../../src/graph/tensor.ts";
import { full } from "../../src/methods/full.ts";
import { constant } from "../../src/methods/initializers.ts";
import { type MethodDefinition, namesOf } from "../../src/methods/method.ts";
import { registerMethod } from "../../src/methods/methods.ts";
import { encodeTask } from "../../src/preparation/encoded-task.ts";
import { loadTask } from "../../src/preparation/load-task-node.ts";
import { parseOptions } from "../../src/preparation/run-options-node.ts";
import { objectiveOf } from "../../src/tasks/task-kinds.ts";
import { blockGroups } from "../../src/training/block-groups.ts";
import { layerGradients } from "../../src/training/layer-gradients.ts";
import { layerInputs } from "../../src/training/layer-inputs.ts";
import type { ProgressEvent } from "../../src/training/progress.ts";
import { TrainingStep } from "../../src/training/step.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { runtime } from "../support/runtime.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

const RANK = 2;
let starts = 0;
/** Whether the gradients of the last start say much about the task. */
let areTelling: boolean | undefined;

/** A method whose frozen A has the first rows of the gradient of its layer's weight. */
const gradientRows: MethodDefinition = {
  name: "gradient-rows",
  summary: "LoRA whose frozen A starts from gradients",
  recipe: { learningRate: 1e-2, headLearningRate: 1e-2 },
  options: z.object({}),
  adapt(_, modules) {
    const parameters = modules.flatMap(({ name, inFeatures, outFeatures }) => [
      { name: `${name}.A`, shape: [RANK, inFeatures], initialize: constant(0), decays: false },
      { name: `${name}.B`, shape: [outFeatures, RANK], initialize: constant(0), decays: true },
    ]);
    return {
      modules,
      parameters,
      trainable: namesOf(parameters.filter(({ name }) => name.endsWith(".B"))),
      adapt: (parameter, x, layer, { name }) =>
        gemm(gemm(x, parameter(`${name}.A`), { transB: true }), parameter(`${name}.B`), {
          transB: true,
          addend: layer(x),
        }),
    };
  },
  async start(_, { modules }, { gradients, hasTellingGradients }) {
    starts++;
    areTelling = hasTellingGradients;
    const rows = new Map<string, Tensor<"float32">>();
    for await (const { module, gradient } of gradients(modules, 8)) {
      const shape = [RANK, module.inFeatures];
      rows.set(`${module.name}.A`, float32(shape, gradient.data.slice(0, RANK * module.inFeatures)));
    }
    return rows;
  },
};

let home: string;
let given: Record<string, unknown>;

beforeAll(async () => {
  registerMethod(gradientRows);
  home = await mkdtemp(join(tmpdir(), "aflora-method-start-"));
  const model = await writeTinyModel(join(home, "model"));
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  given = { model, train, text: "message", label: "team", epochs: 2, batchSize: 8, threads: 1 };
});
afterAll(() => rm(home, { recursive: true }));

const cosine = (a: Float32Array, b: Float32Array): number => {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
};

test.each<[BaseFormat, number]>([
  ["float32", 1 - 1e-6],
  ["int8", 0.98],
])("gradients of layers over a base in %s are those of full fine-tuning", async (format, least) => {
  const { run } = parseOptions(given);
  const task = await loadTask(parseOptions(given));
  const exact = await loadBaseModel(String(given.model), task, 1);
  const base = await loadBaseModel(String(given.model), task, 1, { format });
  const { train } = await encodeTask(task, exact, { maxLength: 32, taskOptions: run.taskOptions });
  const examples = train.encoded.slice(0, 8);
  const batch = { objective: objectiveOf(task), tokenBudget: 512, examples };
  const adapted = { ...exact, adaptation: full.adapt({}, exact.trace.modules), trainsHead: () => false };
  const step = await TrainingStep.compile(adapted, exact.weights, runtime, { ...batch, dropout: false, seed: 0 });
  const expected = (await step.run(0, examples)).gradients;

  const weights = new Map([...base.weights, ...base.quantized]);
  let layers = 0;
  for await (const { module, gradient } of layerGradients(base, weights, runtime, {
    ...batch,
    modules: base.trace.modules,
  })) {
    layers++;
    expect(cosine(gradient.data, expected.get(`${module.name}.weight`)!.data), module.name).toBeGreaterThan(least);
  }
  expect(layers).toBe(base.trace.modules.length);
  await step.release();
});

test("blocks are taken together while their matrices fit, in their order", () => {
  const blocks = [4, 4, 9, 2, 2, 2].map((inFeatures, block): LinearModule => {
    return { name: `layer.${block}`, role: "ffn", block, inFeatures, outFeatures: 1 };
  });
  const groups = blockGroups(blocks, ({ inFeatures }) => inFeatures, 8);
  expect(groups.map((own) => own.map(({ block }) => block))).toEqual([[0, 1], [2], [3, 4, 5]]);
});

test.each<BaseFormat>(["float32", "int8"])("products of layers' inputs over a base in %s", async (format) => {
  const { run } = parseOptions(given);
  const task = await loadTask(parseOptions(given));
  const base = await loadBaseModel(String(given.model), task, 1, { format });
  const { train } = await encodeTask(task, base, { maxLength: 32, taskOptions: run.taskOptions });
  const examples = train.encoded.slice(0, 8);
  const weights = new Map([...base.weights, ...base.quantized]);
  const productsWith = async (tokenBudget: number) => {
    const { modules } = base.trace;
    const found = new Map<string, Float32Array>();
    for await (const { module, products } of layerInputs(base, weights, runtime, { modules, examples, tokenBudget })) {
      expect(products.shape).toEqual([module.inFeatures, module.inFeatures]);
      found.set(module.name, products.data);
    }
    expect([...found.keys()]).toEqual(modules.map(({ name }) => name));
    return found;
  };
  const [whole, cut] = [await productsWith(512), await productsWith(24)];
  for (const [name, products] of whole) expect(cosine(products, cut.get(name)!), name).toBeGreaterThan(1 - 1e-6);
  // Query and key of a block read the same inputs; other layers read others.
  const [query, key, output] = ["query", "key", "output.dense"].map(
    (end) => [...whole].find(([name]) => name.includes("layer.0.") && name.endsWith(end))![1],
  );
  expect(query).toEqual(key);
  expect(query).not.toEqual(output);
});

test("LoRA-XS starts from gradients over int4; its projections are saved and do not train", async () => {
  const options = {
    ...given,
    method: "lora-xs",
    rank: 4,
    initProjections: "gradients",
    base: "int4",
    headStart: "new",
  };
  const read = async (folder: string) => (await loadAdapter(join(folder, "adapter"))).parameters;
  await fineTune({ ...options, maxSteps: 1, output: join(home, "one-step") });
  await fineTune({ ...options, output: join(home, "two-epochs") });
  const [first, second] = [await read(join(home, "one-step")), await read(join(home, "two-epochs"))];
  const layer = "encoder.layer.0.intermediate.dense";
  for (const part of ["A", "B"]) expect(second.get(`${layer}.${part}`)).toEqual(first.get(`${layer}.${part}`));
  expect(second.get(`${layer}.R`)).not.toEqual(first.get(`${layer}.R`));
});

test("aborted while a start from the weights is computed, a run computes no further layer", async () => {
  const abort = new AbortController();
  const layers: number[] = [];
  const onProgress = ({ stage, done }: ProgressEvent) => {
    if (stage !== "computing the adapter's start") return;
    layers.push(done);
    abort.abort();
  };
  const options = { ...given, method: "lora-xs", rank: 4, output: join(home, "aborted") };
  const aborted = fineTune(options, { signal: abort.signal, onEvent: on("progress", onProgress) });
  await expect(aborted).rejects.toThrow(abort.signal.reason);
  expect(layers).toEqual([0]);
});

test("a method starts from gradients; a run that resumes has the values and does not compute them again", async () => {
  const adapterOf = (folder: string) => readFile(join(folder, "adapter", "adapter.safetensors"));
  const options = { ...given, method: "gradient-rows" };
  await fineTune({ ...options, output: join(home, "whole") });
  expect(starts).toBe(1);

  await fineTune({ ...options, output: join(home, "cut") }, { stopAfter: 1 });
  await fineTune({ output: join(home, "cut") }, { resume: true });
  expect(starts).toBe(2);
  expect((await adapterOf(join(home, "cut"))).equals(await adapterOf(join(home, "whole")))).toBe(true);
});

test("gradients say much about the task if the head was fitted, but not about contrastive steps", async () => {
  const tellsWith = async (more: object) => {
    const options = { ...given, method: "gradient-rows", maxSteps: 1, ...more, output: join(home, "telling") };
    await fineTune(options, { overwrite: true });
    return areTelling;
  };
  expect(await tellsWith({})).toBe(true);
  expect(await tellsWith({ headStart: "new" })).toBe(false);
  expect(await tellsWith({ contrastive: true })).toBe(false);
});
