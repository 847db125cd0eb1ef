import { beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { copyOf, float32, type Tensors } from "../../src/graph/tensor.ts";
import { adalora } from "../../src/methods/adalora.ts";
import { aflora } from "../../src/methods/aflora.ts";
import { full } from "../../src/methods/full.ts";
import { head } from "../../src/methods/head.ts";
import { lora } from "../../src/methods/lora.ts";
import type { MethodDefinition } from "../../src/methods/method.ts";
import { sora } from "../../src/methods/sora.ts";
import { objectiveOf } from "../../src/tasks/task-kinds.ts";
import { Predictor } from "../../src/training/prediction/predictor.ts";
import type { TrainingSettings } from "../../src/training/train-options.ts";
import type { TrainingState } from "../../src/training/training-state.ts";
import { runtime } from "../support/runtime.ts";
import { type Base, layersOf, smallBert } from "../support/small-bert.ts";
import { examplesOf, numbersOf, SETTINGS, type SmallRun, smallRun, TASK } from "./small-run.ts";

let base: Base;
beforeAll(async () => {
  base = await smallBert(1);
});

/** A run of AFLoRA that several tests compare with. */
let plain: Promise<SmallRun> | undefined;
const plainRun = (): Promise<SmallRun> => {
  plain ??= smallRun(base, aflora);
  return plain;
};

/** Freezing begins after two steps and ends at the eighth of twelve. */
const FREEZING = { freezeInterval: 2, freezeInitial: 2, freezeFinal: 4, freezeCurve: "cubic" };

/** A run with {@link FREEZING} that several tests compare with. */
let frozen: Promise<SmallRun> | undefined;
const frozenRun = (): Promise<SmallRun> => {
  frozen ??= smallRun(base, aflora, { options: FREEZING });
  return frozen;
};

describe("a run is a function of its options", () => {
  test("the same seed gives the same run, to the bit; another seed gives another run", async () => {
    const [first, second] = [await plainRun(), await smallRun(base, aflora)];
    expect(numbersOf(second)).toEqual(numbersOf(first));
    const other = await smallRun(base, aflora, { settings: { seed: 8, epochs: 1 } });
    expect(other.steps[0]!.loss).not.toBe(first.steps[0]!.loss);
  });

  // Before the first step, within an epoch (before, during and after freezing), and at the end of one.
  const cuts: [string, MethodDefinition, Record<string, unknown>, number[]][] = [
    ["aflora", aflora as MethodDefinition, FREEZING, [0, 1, 7, 11]],
    ["DoRA of principal parts", lora as MethodDefinition, { useDora: true, initLoraWeights: "pissa" }, [6]],
    ["adalora", adalora as MethodDefinition, { rank: 2, pruneInitial: 1, pruneFinal: 2, pruneInterval: 2 }, [6]],
    ["sora", sora as MethodDefinition, {}, [6]],
    ["full", full as MethodDefinition, {}, [6]],
  ];
  test("contrast evaluates and keeps parameters moved part of the way back; steps continue from the unmoved ones", async () => {
    const plain = await plainRun();
    const judged: Tensors[] = [];
    const before: Tensors[] = [];
    const run = await smallRun(base, aflora, {
      prepare: (weights) => before.push(new Map([...weights].map(([name, each]) => [name, copyOf(each)]))),
      contrast: (model) => ({
        ...{ model, objective: objectiveOf(TASK), train: examplesOf(20), kept: 0.75 },
        async fitHead(weights) {
          judged.push(new Map([...weights].map(([name, each]) => [name, copyOf(each)])));
        },
      }),
    });
    expect(run.steps.map(({ loss }) => loss)).toEqual(plain.steps.map(({ loss }) => loss));
    expect(run.state.parameters).toEqual(plain.state.parameters);
    expect(judged).toHaveLength(3);
    const kept = judged[run.best!.epoch - 1]!;
    for (const [name, { data }] of run.state.best!.parameters) expect(data).toEqual(kept.get(name)!.data);
    for (const [name, { data }] of run.state.parameters) {
      const start = before[0]!.get(name)!.data as Float32Array;
      expect(judged[2]!.get(name)!.data).toEqual(data.map((value, i) => start[i]! + 0.75 * (value - start[i]!)));
    }
  });

  test.each(cuts)(
    "%s: interrupted and resumed, the run equals the uninterrupted one",
    async (_, method, options, stops) => {
      const whole = numbersOf(await (options === FREEZING ? frozenRun() : smallRun(base, method, { options })));
      for (const stop of stops) {
        const parts = await cutAndResumed(method, options, stop);
        expect(numbersOf(parts), `cut after ${stop} steps`).toEqual(whole);
      }
    },
  );

  test("with an evaluation every few steps, there is also one at the end, and the run resumes", async () => {
    const settings = { evaluateEvery: 5, epochs: 3 };
    const whole = await smallRun(base, head, { settings });
    expect(whole.evaluations.map(({ step, epoch }) => [step, epoch])).toEqual([
      [0, 0],
      [5, 1.25],
      [10, 2.5],
      [12, 3],
    ]);
    for (const stop of [4, 5, 12]) {
      const parts = await cutAndResumed(head as MethodDefinition, {}, stop, settings);
      expect(numbersOf(parts), `cut after ${stop} steps`).toEqual(numbersOf(whole));
    }
  });

  async function cutAndResumed(
    method: MethodDefinition,
    options: Record<string, unknown>,
    stop: number,
    settings: Partial<TrainingSettings> = {},
  ): Promise<SmallRun> {
    const abort = new AbortController();
    if (stop === 0) abort.abort();
    let saved: TrainingState | undefined;
    const first = await smallRun(base, method, {
      options,
      settings,
      signal: abort.signal,
      onStep: ({ step }) => step + 1 === stop && abort.abort(),
      onCheckpoint: (state) => {
        saved = structuredClone(state);
      },
    });
    expect(first).toMatchObject({ aborted: true, state: { step: stop } });
    // Before its first evaluation there is nothing to resume: the run starts again.
    expect(saved?.step).toBe(stop === 0 ? undefined : stop);
    const second = await smallRun(base, method, { options, settings, ...(saved && { resume: saved }) });
    expect(second.aborted).toBe(false);
    return {
      ...second,
      steps: [...first.steps, ...second.steps],
      freezing: [...first.freezing, ...second.freezing],
      evaluations: [...first.evaluations, ...second.evaluations],
    };
  }

  test("its length in steps overrides its epochs: schedules have that length, and an evaluation ends it", async () => {
    const options = FREEZING;
    const epochs = numbersOf(await frozenRun());
    expect(numbersOf(await smallRun(base, aflora, { options, settings: { epochs: 1, maxSteps: 12 } }))).toEqual(epochs);

    const settings = { epochs: 1, maxSteps: 10, warmupRatio: 0 };
    const run = await smallRun(base, aflora, { options, settings });
    expect(run.evaluations.map(({ step, epoch }) => [step, epoch])).toEqual([
      [0, 0],
      [4, 1],
      [8, 2],
      [10, 2.5],
    ]);
    run.steps.forEach(({ step, learningRate }) => {
      expect(learningRate).toBeCloseTo((SETTINGS.learningRate * (10 - step)) / 10, 12);
    });
    // tf is four steps, before which everything is frozen.
    expect(run.freezing.at(-1)!.step).toBe(6);
    expect(numbersOf(await cutAndResumed(aflora as MethodDefinition, options, 7, settings))).toEqual(numbersOf(run));
  });

  test("paused after an epoch, the run takes no step of the next one until it is resumed", async () => {
    const whole = await frozenRun();
    const saved: TrainingState[] = [];
    const first = await smallRun(base, aflora, {
      options: FREEZING,
      stopAfter: 2,
      onCheckpoint: (state) => void saved.push(structuredClone(state)),
    });
    expect(first).toMatchObject({ aborted: true, state: { step: 8 }, last: { epoch: 2 } });
    const rest = await smallRun(base, aflora, { options: FREEZING, stopAfter: 3, resume: saved.at(-1)! });
    expect(rest.aborted).toBe(false);
    const joined = {
      ...rest,
      steps: [...first.steps, ...rest.steps],
      freezing: [...first.freezing, ...rest.freezing],
      evaluations: [...first.evaluations, ...rest.evaluations],
    };
    expect(numbersOf(joined)).toEqual(numbersOf(whole));
  });

  test("aborted in its last step, the run leaves the last evaluation to the resumed run", async () => {
    const abort = new AbortController();
    const saved: TrainingState[] = [];
    const run = await smallRun(base, head, {
      signal: abort.signal,
      onStep: ({ step }) => step === 11 && abort.abort(),
      onCheckpoint: (state) => void saved.push(structuredClone(state)),
    });
    expect(run).toMatchObject({ aborted: true, last: { epoch: 2 } });
    const rest = await smallRun(base, head, { resume: saved.at(-1)! });
    expect(rest).toMatchObject({ aborted: false, steps: [], last: { epoch: 3 } });
  });
});

test("an epoch contains every example once, its last batch is partial, and warm-up and decay are linear", async () => {
  const { steps, evaluations } = await smallRun(base, head, { settings: { warmupRatio: 0.25, epochs: 2 } });
  expect(steps.map(({ step, epoch }) => [step, epoch])).toEqual(
    Array.from({ length: 8 }, (_, step) => [step, (step + 1) / 4]),
  );
  const tokens = examplesOf(20).reduce((sum, { encoding }) => sum + encoding.inputIds.length, 0);
  expect(steps.slice(0, 4).reduce((sum, step) => sum + step.tokens, 0)).toBe(tokens);
  const factors = [0, 1 / 2, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6];
  steps.forEach(({ learningRate }, i) => {
    expect(learningRate).toBeCloseTo(SETTINGS.learningRate * factors[i]!, 12);
  });
  expect(evaluations.map(({ epoch, step }) => [epoch, step])).toEqual([
    [0, 0],
    [1, 4],
    [2, 8],
  ]);
});

test("dropout applies only to the adapter's input in training, not to the layer's, nor in an evaluation", async () => {
  const still = { ...base, config: { ...base.config, hiddenDropout: 0, attentionDropout: 0, classifierDropout: 0 } };
  const run = (adapterDropout?: number) =>
    smallRun(still, lora, {
      settings: { epochs: 2, warmupRatio: 0 },
      options: adapterDropout ? { adapterDropout } : {},
    });
  const [plain, dropped, again] = [await run(), await run(0.5), await run(0.5)];
  expect(numbersOf(again)).toEqual(numbersOf(dropped));
  // LoRA begins with B = 0, so its input affects only the gradient.
  expect(dropped.evaluations[0]).toEqual(plain.evaluations[0]);
  expect(dropped.steps[0]!.loss).toBe(plain.steps[0]!.loss);
  expect(dropped.steps[0]!.gradientNorm).not.toBeCloseTo(plain.steps[0]!.gradientNorm, 5);
  expect(dropped.steps[1]!.loss).not.toBe(plain.steps[1]!.loss);
});

test("training lowers the loss and learns the task; the head has its own learning rate", async () => {
  const settings = { epochs: 30, maxGradNorm: 1, headLearningRate: 1e-30, weightDecay: 0 };
  const seen = examplesOf(20);
  const validation = [{ name: "validation", examples: seen, encoded: seen }];
  const { steps, last, weights } = await smallRun(await smallBert(2), lora, { settings, validation });
  expect(last!.metrics.accuracy).toBe(1);
  expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss / 2);
  expect(weights.get("classifier.weight")).toEqual(base.weights.get("classifier.weight"));
  // Parameters that do not train have not changed.
  const word = "embeddings.word_embeddings.weight";
  expect(weights.get(word)).toEqual(base.weights.get(word));
});

test("regression: the loss is the mean squared error, and falls", async () => {
  const value = (index: number) => (index % 3) - 1;
  const examples = examplesOf(20, () => 0).map((example) => {
    return { ...example, label: value(example.index), targets: float32([1, 1], Float32Array.of(value(example.index))) };
  });
  const width = base.config.hiddenSize;
  const weights = new Map(base.weights);
  weights.set("classifier.weight", float32([1, width], base.weights.get("classifier.weight")!.data.slice(0, width)));
  weights.set("classifier.bias", float32([1], base.weights.get("classifier.bias")!.data.slice(0, 1)));
  const validation = [{ name: "validation", examples, encoded: examples }];
  const { evaluations, last } = await smallRun({ ...base, labelCount: 1, weights }, lora, {
    task: { kind: "regression", labels: [], metrics: ["pearson", "spearmanr", "mean_squared_error"] },
    train: examples,
    validation,
    settings: { epochs: 30, maxGradNorm: 1 },
  });
  expect(last!.metrics.pearson).toBeGreaterThan(0.9);
  expect(last!.loss).toBeCloseTo(last!.metrics.mean_squared_error!, 5);
  expect(last!.loss).toBeLessThan(evaluations[0]!.loss / 2);
});

describe("epochs", () => {
  test("the best parameters are kept while the last evaluation is reported", async () => {
    // Validation labels are swapped: the better the task is learned, the worse the metric.
    const turned = examplesOf(9, (index) => (index + 1) % 3);
    const validation = [{ name: "validation", examples: turned, encoded: turned }];
    const { best, last, state, evaluations, weights } = await smallRun(base, lora, {
      validation,
      settings: { epochs: 15, maxGradNorm: 1 },
    });
    const scores = evaluations.slice(1).map(({ metrics }) => metrics.accuracy!);
    expect(best!.metrics.accuracy).toBe(Math.max(...scores));
    expect(best!.epoch).toBe(scores.indexOf(Math.max(...scores)) + 1);
    expect(last!).toEqual(evaluations.at(-1));
    expect(last!.metrics.accuracy).toBeLessThan(best!.metrics.accuracy!);

    // The kept parameters are those that gave the best evaluation.
    const adaptation = lora.adapt(lora.options.parse({}), layersOf(base));
    const model = { ...base, adaptation, trainsHead: () => false };
    const predictor = await Predictor.compile(model, new Map([...weights, ...state.best!.parameters]), runtime);
    const logits = await predictor.logits(turned);
    await predictor.release();
    const right = logits.filter((row, i) => row.indexOf(Math.max(...row)) === turned[i]!.label).length;
    expect(right / 9).toBe(best!.metrics.accuracy);
  });

  test("among equal evaluations, the one with the lower loss is the best, then the later one", async () => {
    const settings = { epochs: 3, learningRate: 1e-12, headLearningRate: 1e-12 };
    const { best, state } = await smallRun(base, lora, { settings });
    const [first, ...others] = state.evaluations;
    for (const { metrics } of others) expect(metrics).toEqual(first!.metrics);
    const least = state.evaluations.findLast(
      ({ loss }) => loss === Math.min(...state.evaluations.map((each) => each.loss)),
    );
    expect(best!.epoch).toBe(least!.epoch);
  });

  test("without a better evaluation within the patience, the run stops early", async () => {
    // The learning rate is so low that no prediction changes: the latest of equal evaluations counts, but is not better.
    const settings = { epochs: 10, patience: 2, learningRate: 1e-12, headLearningRate: 1e-12 };
    const { aborted, best, last, state } = await smallRun(base, lora, { settings });
    expect([aborted, last!.epoch, state.step]).toEqual([false, 3, 12]);
    expect(best!.loss).toBe(Math.min(...state.evaluations.map(({ loss }) => loss)));
  });

  test("a run whose time is up ends with its best evaluation, or with its first one", async () => {
    const time = new AbortController();
    const inSecondEpoch = await smallRun(base, lora, {
      settings: { epochs: 10 },
      timeUp: time.signal,
      onStep: ({ step }) => void (step === 5 && time.abort()),
    });
    expect([inSecondEpoch.aborted, inSecondEpoch.best!.epoch, inSecondEpoch.state.step]).toEqual([false, 1, 6]);
    const atOnce = await smallRun(base, lora, { settings: { epochs: 10 }, timeUp: AbortSignal.abort() });
    expect([atOnce.aborted, atOnce.best!.epoch, atOnce.state.step]).toEqual([false, 1, 4]);
    expect(atOnce.best).toEqual(inSecondEpoch.best);
  });
});

describe("values that are not finite stop the run", () => {
  test("before the first step, if they are in the model", async () => {
    const prepare = (weights: Tensors<"float32">) => {
      weights.get("encoder.layer.0.output.dense.bias")!.data[0] = Number.NaN;
    };
    await expect(smallRun(base, lora, { prepare })).rejects.toThrow(
      /^the model's outputs on the validation examples are not finite; .*check the model's weights$/,
    );
  });

  test("naming step and batch, if the learning rate is far too high", async () => {
    const run = smallRun(base, lora, { settings: { learningRate: 1e30, headLearningRate: 1e30 } });
    await expect(run).rejects.toThrow(UserError);
    await expect(run).rejects.toThrow(
      /^the (loss|norm of the gradient) is (NaN|Infinity) at step 2 \(epoch 1, batch 3 of 4\)/,
    );
  });
});

test("a matrix that freezes at step t takes part in step t, has no gradient from t + 1 on, and does not change again", async () => {
  const gradients: Set<string>[] = [];
  const matrices: Tensors<"float32">[] = [];
  const { freezing, steps, state, trainable } = await smallRun(base, aflora, {
    options: FREEZING,
    onGradients: (step, given) => {
      gradients[step] = new Set(given.keys());
    },
    onStep: ({ step }, weights) => {
      const names = [...weights.keys()].filter((name) => /\.[AB]$/.test(name));
      matrices[step] = new Map(names.map((name) => [name, copyOf(weights.get(name)!)]));
    },
  });
  const frozen = Object.entries(state.frozenAtStep);
  // Two feed-forward layers with A and B each; they do not all freeze at one check.
  expect(frozen).toHaveLength(4);
  expect(new Set(frozen.map(([, at]) => at)).size).toBeGreaterThan(1);
  for (const [name, at] of frozen) {
    expect(freezing.find(({ step }) => step === at)!.frozen).toContain(name);
    // The optimizer drops its moments too.
    expect([...state.optimizer.tensors.keys()].filter((key) => key.startsWith(name))).toEqual([]);
    steps.forEach(({ step }) => {
      expect(gradients[step]!.has(name), `${name} at step ${step}`).toBe(step <= at);
      if (step > 0) {
        const moved = matrices[step]!.get(name)!.data.some(
          (value, i) => value !== matrices[step - 1]!.get(name)!.data[i],
        );
        expect(moved, `${name} at step ${step}`).toBe(step <= at);
      }
    });
  }
  // A step counts the elements that have a gradient as trainable, without the head.
  steps.forEach(({ step, trainable: count, frozen: soFar }) => {
    const own = [...gradients[step]!].filter((name) => !name.startsWith("classifier."));
    const sizes = new Map([...state.parameters].map(([name, values]) => [name, values.data.length]));
    expect(count).toBe(own.reduce((sum, name) => sum + sizes.get(name)!, 0));
    expect(soFar).toBe(frozen.filter(([, at]) => at <= step).length);
  });
  expect(trainable.start).toBe(steps[0]!.trainable);
  expect(trainable.average).toBeCloseTo(steps.reduce((sum, step) => sum + step.trainable, 0) / steps.length, 6);
  expect(trainable.end).toBe(steps.at(-1)!.trainable);
  expect(trainable.head).toBe(3 * 32 + 3);
  // The time to compile again is reported only if something froze.
  for (const { frozen: names, compileSeconds } of freezing) expect(compileSeconds > 0).toBe(names.length > 0);
});
