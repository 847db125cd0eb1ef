import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { LinearModule } from "../../src/architectures/model-parts.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { initialParameters } from "../../src/base-models/fitted-adapter.ts";
import { UserError } from "../../src/errors.ts";
import { Graph, liveNodes } from "../../src/graph/graph.ts";
import { float32, type Tensors } from "../../src/graph/tensor.ts";
import { FREEZE_SCORES } from "../../src/methods/freezing/score.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import type { Adaptation, MethodState, RunLength, Schedule } from "../../src/methods/method.ts";
import { findMethod, METHODS, parseMethodOptions, registerMethod, scheduleFor } from "../../src/methods/methods.ts";
import { vera } from "../../src/methods/vera.ts";
import { resolveConfig } from "../../src/preparation/run-options-node.ts";
import { crossEntropy } from "../../src/tasks/losses/objective.ts";
import { writeStep } from "../../src/training/step-graph.ts";
import { ia3 } from "../support/ia3.ts";
import { runtime } from "../support/runtime.ts";
import { Bench, batches, layersOf, smallBert } from "../support/small-bert.ts";

/** Linear layers like those of BERT. */
function modulesOf(blocks: number, hidden: number, inner: number): LinearModule[] {
  const layers: [string, LinearModule["role"], number, number][] = [
    ["attention.self.query", "attention", hidden, hidden],
    ["attention.self.key", "attention", hidden, hidden],
    ["attention.self.value", "attention", hidden, hidden],
    ["attention.output.dense", "attention", hidden, hidden],
    ["intermediate.dense", "ffn", hidden, inner],
    ["output.dense", "ffn", inner, hidden],
  ];
  return Array.from({ length: blocks }, (_, block) =>
    layers.map(([name, role, inFeatures, outFeatures]) => ({
      name: `encoder.layer.${block}.${name}`,
      role,
      block,
      inFeatures,
      outFeatures,
    })),
  ).flat();
}

interface Setting extends RunLength {
  modules: readonly LinearModule[];
}

/** An adaptation with a schedule for a run. */
type Method = Omit<Adaptation, "trainable"> & Schedule;

/** DeBERTaV3-base's shape. */
const paper: Setting = { modules: modulesOf(12, 768, 3072), totalSteps: 100, stepsPerEpoch: 10 };
const small: Setting = { modules: modulesOf(1, 4, 8), totalSteps: 40, stepsPerEpoch: 10 };

function create(
  name: string,
  given: Record<string, unknown>,
  { modules, ...run }: Setting,
  state?: MethodState,
): Method {
  const definition = findMethod(name);
  const options = parseMethodOptions(definition, given);
  const adaptation = definition.adapt(options, modules);
  return { ...adaptation, ...scheduleFor(definition, options, adaptation, run, state) };
}

function trainableElements(method: Method): number {
  const trainable = method.trainable();
  return method.parameters
    .filter(({ name }) => trainable.has(name))
    .reduce((total, { shape }) => total + shape.reduce((size, dimension) => size * dimension, 1), 0);
}

function valuesOf(method: Method): Tensors<"float32"> {
  return initialParameters(method, 1, () => expect.unreachable("no layer's weight is at hand"));
}

function madeUpGradients(method: Method, step: number): Tensors<"float32"> {
  return new Map(
    method.parameters.map(({ name, shape }) => [name, normal(0.1)(shape, randomFor(step, name))] as const),
  );
}

const bitsOf = (values: Float32Array) => [...new Uint32Array(values.buffer, values.byteOffset, values.length)];

describe("numbers of trainable parameters (docs/method.md, DeBERTaV3-base's shape)", () => {
  test.each([
    ["aflora", {}, 451_872],
    ["aflora", { ffnMatrices: "frozen" }, 83_232],
    ["lora", {}, 1_327_104],
    // One norm for each row of all layers.
    ["lora", { initLoraWeights: "pissa" }, 1_327_104],
    ["lora", { useDora: true }, 1_327_104 + 12 * (5 * 768 + 3072)],
    ["lora-xs", {}, 83_232],
    ["psoft", {}, 81_144],
    ["vera", {}, 156_672],
    ["vera", { sharing: "sliced" }, 156_672],
    ["vera", { sharing: "layer" }, 156_672],
    ["head", {}, 0],
  ])("%s %j", (name, given, expected) => {
    expect(trainableElements(create(name, given, paper))).toBe(expected);
  });

  test("AFLoRA after everything has frozen", () => {
    const method = create("aflora", { freezeInitial: 0, freezeFinal: 2 }, { ...paper, totalSteps: 3 });
    for (let step = 0; step < 3; step++) method.observe!(step, madeUpGradients(method, step), valuesOf(method));
    expect(trainableElements(method)).toBe(83_232);
  });

  test("SoRA does not count parameters of closed gates", () => {
    const method = create("sora", { rank: 4 }, small);
    const values = valuesOf(method);
    expect(method.countTrainable!(values)).toBe(trainableElements(method));
    values.get("encoder.layer.0.output.dense.g")!.data.set([0, 0.5, 0, 0]);
    expect(method.countTrainable!(values)).toBe(trainableElements(method) - 3 * (8 + 4 + 1));
  });

  test("AdaLoRA counts everything, then what the latest pruning kept", () => {
    const method = create("adalora", { rank: 2, initialRank: 4 }, small);
    const values = valuesOf(method);
    expect(method.countTrainable!(values)).toBe(trainableElements(method));
    for (let step = 0; step < small.totalSteps; step++) {
      for (const { name } of small.modules) values.get(`${name}.E`)!.data.fill(0.1);
      method.afterStep!(step, madeUpGradients(method, step), values);
    }
    const kept = small.modules.map(({ name }) => values.get(`${name}.E`)!.data.filter((value) => value !== 0).length);
    expect(kept.reduce((a, b) => a + b)).toBe(2 * small.modules.length);
    const expected = small.modules.map(({ inFeatures, outFeatures }, i) => kept[i]! * (inFeatures + outFeatures + 1));
    expect(method.countTrainable!(values)).toBe(expected.reduce((a, b) => a + b));
  });

  test("full fine-tuning: every weight of the backbone has a gradient", async () => {
    const base = await smallBert();
    const bench = Bench.create(base, findMethod("full"));
    const { gradients } = await bench.differentiate(batches[0]!);
    const weights = [...traceModel(base, base.labelCount).weights.values()];
    const expected = weights.filter(({ name, part }) => part === "backbone" || name.startsWith("classifier."));
    expect([...gradients.keys()].sort()).toEqual(expected.map(({ name }) => name).sort());
    await bench.release();
  });
});

describe("before the first step", () => {
  const rank = { rank: 4 };
  test.each([
    ["aflora", rank],
    ["lora", rank],
    ["lora", { ...rank, useDora: true }],
    ["vera", {}],
    ["vera", { sharing: "sliced" }],
    ["vera", { sharing: "layer", rank: 40 }],
    ["adalora", rank],
    ["sora", rank],
  ])("%s %j gives the base model's logits, to the bit", async (name, given) => {
    const base = await smallBert();
    const expected = await Bench.create(base, findMethod("head")).logits(batches[0]!);
    const found = await Bench.create(base, findMethod(name), given).logits(batches[0]!);
    expect(bitsOf(found)).toEqual(bitsOf(expected));
  });
});

describe("AFLoRA's start (docs/method.md)", () => {
  const setting: Setting = { ...small, modules: modulesOf(2, 64, 256) };
  const values = valuesOf(create("aflora", {}, setting));
  const of = (parameter: string) => [...values].filter(([name]) => name.endsWith(`.${parameter}`));

  test("d is 0.1 and b is 0 everywhere", () => {
    for (const [parameter, start] of [
      ["d", Math.fround(0.1)],
      ["b", 0],
    ] as const) {
      expect(of(parameter)).toHaveLength(setting.modules.length);
      for (const [name, { data }] of of(parameter)) expect(new Set(data), name).toEqual(new Set([start]));
    }
  });

  test.each(["A", "B"])("%s is uniform within sqrt(6 / columns)", (parameter) => {
    expect(of(parameter)).toHaveLength(setting.modules.length);
    // As shares of the bound: the distribution is the same for layers of any size.
    const shares = of(parameter).flatMap(([, { shape, data }]) => {
      return [...data].map((value) => value / Math.sqrt(6 / shape[1]!));
    });
    const mean = (power: number): number => shares.reduce((sum, share) => sum + share ** power, 0) / shares.length;
    expect(Math.max(...shares.map(Math.abs))).toBeLessThanOrEqual(1 + 2 ** -23);
    expect(Math.min(...shares)).toBeLessThan(-0.99);
    expect(Math.max(...shares)).toBeGreaterThan(0.99);
    // For a uniform distribution on [-1, 1], the mean is 0 and the mean square 1/3.
    expect(Math.abs(mean(1))).toBeLessThan(0.03);
    expect(Math.abs(mean(2) - 1 / 3)).toBeLessThan(0.02);
  });
});

test.each([
  ["aflora", { rank: 4 }],
  ["aflora", { rank: 4, alpha: 6 }],
  ["lora", { rank: 4 }],
  ["lora", { rank: 4, alpha: 6, useRslora: true }],
  ["adalora", { rank: 2, initialRank: 4 }],
  ["sora", { rank: 4 }],
  ["lora-xs", { rank: 4 }],
  ["psoft", { rank: 4 }],
])("%s %j: the graph of a layer computes what its form as LoRA says", async (name, given) => {
  const method = create(name, given, small);
  const module = small.modules[4]!;
  const { inFeatures, outFeatures } = module;
  const values = new Map(
    [...valuesOf(method)].map(([each, { shape }]) => [each, normal(0.5)(shape, randomFor(3, each))]),
  );
  const shapes = new Map(method.parameters.map((parameter) => [parameter.name, parameter.shape]));
  const graph = new Graph();
  const x = graph.leaf("input", "x", "float32", [2, inFeatures]);
  const parameter = (each: string) => graph.leaf("frozen", each, "float32", shapes.get(each)!);
  const zero = graph.leaf("input", "zero", "float32", [2, outFeatures]);
  const compiled = await runtime.compile({ y: method.adapt!(parameter, x, () => zero, module) }, values);
  const input = normal(1)([2, inFeatures], randomFor(1, "x"));
  const { y } = await compiled.run({ x: input, zero: float32([2, outFeatures]) });
  await compiled.release();
  const { rank, alpha, A, B } = method.asLora!(module, values);
  for (let row = 0; row < 2; row++) {
    for (let out = 0; out < outFeatures; out++) {
      let sum = 0;
      for (let r = 0; r < rank; r++) {
        let down = 0;
        for (let i = 0; i < inFeatures; i++) down += A.data[r * inFeatures + i]! * input.data[row * inFeatures + i]!;
        sum += B.data[out * rank + r]! * down;
      }
      expect(Number(y!.data[row * outFeatures + out])).toBeCloseTo((alpha / rank) * sum, 4);
    }
  }
});

test("alpha does not change the cost of a step, rank does", () => {
  const isSame = (option: string) => METHODS.schemaOf(option)?.meta()?.sameStepCost;
  expect([isSame("alpha"), isSame("rank")]).toEqual([true, undefined]);
});

test("AFLoRA's adapter is added as it is unless alpha scales it", () => {
  const scaleOf = (given: Record<string, unknown>): number => {
    const { alpha, rank } = create("aflora", given, small).asLora!(
      small.modules[0]!,
      valuesOf(create("aflora", given, small)),
    );
    return alpha / rank;
  };
  expect([scaleOf({ rank: 4 }), scaleOf({ rank: 2 }), scaleOf({ rank: 4, alpha: 6 })]).toEqual([1, 1, 1.5]);
});

describe("VeRA", () => {
  const shapesOf = (sharing: string) =>
    create("vera", { sharing, rank: 16 }, small)
      .parameters.filter(({ name }) => /\.[AB]$/.test(name))
      .map(({ name, shape }) => `${name} ${shape.join("x")}`);

  test("shares A and B by shape, as one pair sliced to size, or not at all", () => {
    expect(shapesOf("shape")).toEqual([
      "shared.4x4.A 16x4",
      "shared.4x4.B 4x16",
      "shared.8x4.A 16x4",
      "shared.8x4.B 8x16",
      "shared.4x8.A 16x8",
      "shared.4x8.B 4x16",
    ]);
    expect(shapesOf("sliced")).toEqual(["shared.A 16x8", "shared.B 8x16"]);
    expect(shapesOf("layer")).toHaveLength(12);
  });

  test.each(["shape", "sliced", "layer"])(
    "%s: the backward pass has no product of a matrix's size",
    async (sharing) => {
      const base = await smallBert();
      const bench = Bench.create(base, findMethod("vera"), { sharing, rank: 16 });
      const { outputs } = writeStep(bench.model, crossEntropy, { dropout: false });
      const products = liveNodes(Object.values(outputs)).filter(
        ({ op, provenance }) => op.name === "Gemm" && provenance.pass === "backward" && provenance.part === "adapter",
      );
      expect(products.length).toBeGreaterThan(0);
      for (const { outputs } of products) expect(outputs[0]!.shape[0]).not.toBeTypeOf("number");
    },
  );

  test("sliced: layers of one size share one slice", async () => {
    const base = await smallBert();
    const bench = Bench.create(base, findMethod("vera"), { sharing: "sliced", rank: 16 });
    const { outputs } = writeStep(bench.model, crossEntropy, { dropout: false });
    const cuts = liveNodes(Object.values(outputs)).filter(
      ({ op, inputs }) => op.name === "Slice" && inputs[0]!.leaf?.name.startsWith("shared."),
    );
    expect(cuts).toHaveLength(2);
  });
});

describe("AdaLoRA", () => {
  test("continues from a saved state as if it had not stopped", () => {
    const run = (stops: number[]) => {
      let method = create("adalora", { rank: 2, initialRank: 4, pruneInterval: 5 }, small);
      const values = valuesOf(method);
      for (let step = 0; step < small.totalSteps; step++) {
        if (stops.includes(step)) {
          const state = structuredClone(method.state!());
          method = create("adalora", { rank: 2, initialRank: 4, pruneInterval: 5 }, small, state);
        }
        for (const { name } of small.modules) values.get(`${name}.E`)!.data.fill(0.1);
        method.afterStep!(step, madeUpGradients(method, step), values);
      }
      return { values: Object.fromEntries(values), count: method.countTrainable!(values) };
    };
    expect(run([3, 12, 30])).toEqual(run([]));
  });

  test.each([
    [{ rank: 4, initialRank: 4 }, /nothing can be pruned from rank 4 to 4; give an initialRank above rank/],
    [{ rank: 2, pruneInitial: "50%", pruneFinal: "50%" }, /nothing can be pruned in 40 steps with pruneInitial 20/],
    [{ rank: 2, pruneFinal: 0 }, /pruneFinal must be at least 1/],
  ])("refuses a schedule in which nothing can be pruned: %j", (given, message) => {
    expect(() => create("adalora", given, small)).toThrow(message);
    expect(() => create("adalora", given, small)).toThrow(UserError);
  });

  test("has no schedule in a run without steps, which only fits the head", () => {
    const method = create("adalora", { rank: 2 }, { ...small, totalSteps: 0 });
    expect(method.afterStep).toBeUndefined();
    expect(method.trainable().size).toBe(3 * small.modules.length);
  });
});

test("AFLoRA notes that a run is too short for its schedule", () => {
  const noteOf = (totalSteps: number) =>
    create("aflora", { rank: 2, freezeInterval: 20 }, { ...small, totalSteps }).note;
  expect(noteOf(1)).toMatch(/^the run's one step is too few for the freezing schedule/);
  expect(noteOf(10)).toMatch(/^the run's 10 steps are too few for the freezing schedule/);
  expect(noteOf(100)).toBeUndefined();
});

describe("AFLoRA's ablation", () => {
  const modes = ["frozen", "trained", "adaptive"] as const;
  const combinations = modes.flatMap((attention) => modes.map((ffn) => [attention, ffn] as const));

  test.each(combinations)("attention matrices %s, feed-forward matrices %s", (attention, ffn) => {
    const method = create("aflora", { attentionMatrices: attention, ffnMatrices: ffn, rank: 2 }, small);
    const expected = (...trained: string[]) =>
      small.modules
        .flatMap(({ name, role }) => {
          const matrices = trained.includes(role === "attention" ? attention : ffn) ? ["A", "B"] : [];
          return ["d", "b", ...matrices].map((parameter) => `${name}.${parameter}`);
        })
        .sort();
    expect([...method.trainable()].sort()).toEqual(expected("trained", "adaptive"));
    const values = valuesOf(method);
    for (let step = 0; step < small.totalSteps; step++) method.observe!(step, madeUpGradients(method, step), values);
    expect([...method.trainable()].sort()).toEqual(expected("trained"));
  });

  test.each(FREEZE_SCORES)("score %s finally freezes everything", (freezeScore) => {
    const method = create("aflora", { freezeScore, rank: 2 }, small);
    const values = valuesOf(method);
    for (let step = 0; step < small.totalSteps; step++) method.observe!(step, madeUpGradients(method, step), values);
    expect([...method.trainable()].filter((name) => /\.[AB]$/.test(name))).toEqual([]);
  });

  test("a schedule without steps for freezing is refused, naming the flags", () => {
    expect(() => create("aflora", { freezeFinal: "80%", rank: 2 }, small)).toThrow(
      new UserError(
        `option "freezeInitial" 20% and option "freezeFinal" 80% leave none of the run's ${small.totalSteps} steps for freezing; lower one of them`,
      ),
    );
  });

  test("with depth, matrices freeze starting at the input", () => {
    const setting = { ...small, modules: modulesOf(4, 4, 8) };
    const method = create("aflora", { freezeScore: "depth", rank: 2, freezeInterval: 1 }, setting);
    const inOrder = [...method.trainable()].filter((name) => /\.[AB]$/.test(name));
    const values = valuesOf(method);
    const frozen: string[] = [];
    let checks = 0;
    for (let step = 0; step < small.totalSteps; step++) {
      const check = method.observe!(step, madeUpGradients(method, step), values);
      if (check && check.frozen.length > 0) checks++;
      frozen.push(...(check?.frozen ?? []));
    }
    expect(frozen).toEqual(inOrder);
    expect(checks).toBeGreaterThan(2);
  });

  test("a saved state that is none is refused", () => {
    const state = { scalars: { frozenAtStep: {} }, tensors: new Map() };
    expect(() => create("aflora", { rank: 2 }, small, state)).toThrow(UserError);
    expect(() => create("aflora", { rank: 2 }, small, state)).toThrow(
      /saved state .* is damaged; restore the checkpoint/,
    );
  });

  test("vectors off: b = 1, and only matrices train", () => {
    const method = create("aflora", { vectors: false, rank: 2 }, small);
    expect([...method.trainable()].every((name) => /\.[AB]$/.test(name))).toBe(true);
    for (const [name, { data }] of valuesOf(method))
      if (name.endsWith(".b")) expect(new Set(data)).toEqual(new Set([1]));
    expect(() => create("aflora", { vectors: false, ffnMatrices: "frozen", rank: 2 }, small)).toThrow("nothing trains");
  });

  test.each(["aflora", "lora", "vera", "adalora", "sora"])("%s: target layers by name, end or pattern", (name) => {
    const adapted = (targetModules: unknown) => {
      const { parameters } = create(name, { targetModules, rank: 2 }, small);
      const modules = parameters.map((parameter) => parameter.name.replace(/\.\w+$/, ""));
      return [...new Set(modules)].filter((module) => !module.startsWith("shared"));
    };
    expect(adapted(["query", "encoder.layer.0.output.dense"])).toEqual([
      "encoder.layer.0.attention.self.query",
      "encoder.layer.0.output.dense",
    ]);
    expect(adapted("attention.*")).toHaveLength(4);
    expect(() => adapted("keys")).toThrow(/targetModules: "keys" matches no layer; block 0 has encoder.layer.0.att/);
  });
});

describe("bad input", () => {
  test.each([
    ["lora-xs", {}],
    ["psoft", {}],
    ["adalora", {}],
    ["lora", { initLoraWeights: "pissa" }],
    ["aflora", { initProjections: "gradients" }],
  ])("%s with %j has orthogonal directions and refuses a rank above a layer's size", (name, options) => {
    expect(() => create(name, { rank: 5, ...options }, small)).toThrow(
      /^rank \d exceeds that of layer "encoder.layer.0.attention.self.query" \[4, 4\]; give a lower option "rank"$/,
    );
  });

  test.each(["aflora", "lora", "sora", "vera"])("%s takes a rank above a layer's size, as the paper does", (name) => {
    const { parameters } = create(name, { rank: 5 }, small);
    expect(parameters.some(({ shape }) => shape.includes(5))).toBe(true);
  });

  test.each([
    ["lora", { freezeRule: "matrix-fraction" }, 'option "freezeRule" belongs to aflora, not to method "lora"'],
    ["full", { rank: 4 }, /option "rank" belongs to lora, aflora, lora-xs, psoft, vera, adalora, and sora/],
    ["sora", { gatePenaltty: 1 }, 'unknown option "gatePenaltty" of method "sora"; did you mean "gatePenalty"?'],
    [
      "vera",
      { sharing: "some" },
      /option "sharing" of method "vera": it must be "shape" or "sliced" or "layer", not "some"/,
    ],
    ["lora", { rank: 0 }, /option "rank" of method "lora"/],
  ])("%s %j", (name, given, message) => {
    expect(() => create(name, given, small)).toThrow(message);
    expect(() => create(name, given, small)).toThrow(UserError);
  });

  test("an alias names the method, and no other method may use it", () => {
    expect(findMethod("elora")).toBe(vera);
    expect(resolveConfig({ method: "elora", train: "a.csv" }).method.name).toBe("vera");
    expect(() => registerMethod({ ...vera, name: "elora", aliases: [] })).toThrow('method "elora" already exists');
  });

  test("an unknown method", () => {
    expect(() => findMethod("lorra")).toThrow('unknown method "lorra"; did you mean "lora"?');
  });
});

describe("documentation", () => {
  const has = (text: string, name: string) =>
    text.split(/\n\n|\. /).some((part) => part.startsWith(`\`--method ${name}\` `));
  const docs = (page: string) => readFileSync(new URL(`../../docs/${page}`, import.meta.url), "utf8");

  test("lists every method with all its options and their defaults; options of all methods stand with aflora", () => {
    const ofAllMethods = ["adapterDropout", "targetModules"];
    for (const name of METHODS.names) {
      const sections = (docs("methods.md") + docs("other-methods.md")).split(/^## /m);
      // A heading names a method, or a paragraph begins with it.
      const section = sections.find((text) => text.includes(`(\`--method ${name}\`)`) || has(text, name));
      expect(section, name).toBeDefined();
      const defaults = parseMethodOptions(findMethod(name), {});
      for (const option of Object.keys(findMethod(name).options.shape)) {
        if (name !== "aflora" && ofAllMethods.includes(option)) continue;
        const rows = section!.split("\n").map((line) => line.split("|").map((cell) => cell.trim()));
        const row = rows.find(([, first]) => first === `\`${option}\``);
        expect(row, `${name}: ${option}`).toBeDefined();
        if (defaults[option] !== undefined) expect(row![2], `${name}: ${option}`).toBe(String(defaults[option]));
      }
    }
  });

  test("contains the example that is tested here", () => {
    const code = readFileSync(new URL("../support/ia3.ts", import.meta.url), "utf8");
    const asInSource = code.replaceAll("../../src/methods/", "./").replaceAll("../../src/", "../");
    expect(docs("extending.md")).toContain(`\`\`\`ts\n${asInSource}\`\`\``);
  });
});

describe("the example of a seventh method, (IA)³", () => {
  test("starts as the base model, has a scale for each key, value and inner activation, and trains", async () => {
    const base = await smallBert();
    const adaptation = ia3.adapt(ia3.options.parse({}), layersOf(base));
    expect(trainableElements({ ...adaptation, trainable: () => adaptation.trainable })).toBe(2 * (32 + 32 + 64));
    const bench = new Bench(base, adaptation);
    const expected = await Bench.create(base, findMethod("head")).logits(batches[0]!);
    expect(bitsOf(await bench.logits(batches[0]!))).toEqual(bitsOf(expected));

    // Each scale's gradient by a central difference, at one element.
    const { gradients } = await bench.differentiate(batches[0]!);
    for (const { name } of adaptation.parameters) {
      const { data: values } = bench.weights.get(name)!;
      const lossAt = async (value: number) => {
        values[1] = value;
        return (await bench.differentiate(batches[0]!)).loss;
      };
      const difference = ((await lossAt(1.05)) - (await lossAt(0.95))) / 0.1;
      values[1] = 1;
      expect(gradients.get(name)!.data[1]!, name).toBeCloseTo(difference, 4);
    }

    const losses: number[] = [];
    for (let step = 0; step < 20; step++) losses.push((await bench.step(batches[step % batches.length]!)).loss);
    expect(losses.at(-1)!).toBeLessThan(losses[3]!);
    await bench.release();
  });
});
