import { beforeAll, describe, expect, test } from "vitest";
import { float32, int32, type Tensors } from "../../../src/graph/tensor.ts";
import { aflora } from "../../../src/methods/aflora.ts";
import { lora } from "../../../src/methods/lora.ts";
import type { Schedule } from "../../../src/methods/method.ts";
import { replicaBytes } from "../../../src/runs/many-machines/jobs.ts";
import { readMessage } from "../../../src/runs/many-machines/message.ts";
import { jobSchema, REPLICA } from "../../../src/runs/many-machines/protocol.ts";
import type { TrainingExample } from "../../../src/tasks/task-kind.ts";
import { localStepsNotes } from "../../../src/training/local-steps/local-steps.ts";
import { OuterOptimizer } from "../../../src/training/local-steps/outer-optimizer.ts";
import { advance, type ReplicaSteps } from "../../../src/training/local-steps/replica.ts";
import type { OtherMachines } from "../../../src/training/other-machines.ts";
import type { TrainingState } from "../../../src/training/training-state.ts";
import { type Base, smallBert } from "../../support/small-bert.ts";
import { numbersOf, SETTINGS, smallRun } from "../small-run.ts";

let base: Base;
beforeAll(async () => {
  base = await smallBert();
});

const local = { localSteps: 3, replicas: 2 };

test("the outer step is Nesterov's on the replicas' mean change, and resumes from its state", () => {
  const of = (...values: number[]): Tensors<"float32"> =>
    new Map([["w", float32([values.length], Float32Array.from(values))]]);
  const parameters = of(1, -2);
  const first = new OuterOptimizer();
  first.step(parameters, [of(0.5, -2), of(1, -1)]);
  // After changes of 0.25 and -0.5, the momentum is the same: 1 - 0.7 (0.25 + 0.8 · 0.25), -2 + 0.7 (0.5 + 0.8 · 0.5).
  const now = [...parameters.get("w")!.data];
  expect(now[0]).toBeCloseTo(0.685, 6);
  expect(now[1]).toBeCloseTo(-1.37, 6);
  const second = new OuterOptimizer(structuredClone(first.state()));
  second.step(parameters, [of(now[0]! - 0.1, now[1]!)]);
  // Momenta are 0.8 · 0.25 + 0.1 and 0.8 · -0.5.
  expect(parameters.get("w")!.data[0]).toBeCloseTo(now[0]! - 0.7 * (0.1 + 0.8 * 0.3), 6);
  expect(parameters.get("w")!.data[1]).toBeCloseTo(now[1]! + 0.7 * 0.8 * 0.4, 6);
});

describe("local steps of replicas", () => {
  test("a single replica's steps are those of AdamW without clipping, scaled by the outer step", async () => {
    const settings = { epochs: 1, batchSize: 10, warmupRatio: 0, dropout: false };
    const before = new Map<string, Float32Array>();
    const prepare = (weights: Tensors): void => {
      for (const [name, { data }] of weights) before.set(name, (data as Float32Array).slice());
    };
    const plain = await smallRun(base, lora, { settings: { ...settings, maxGradNorm: 1e3 }, prepare });
    const apart = await smallRun(base, lora, {
      settings: { ...settings, maxGradNorm: 1e-3, localSteps: 2, replicas: 1 },
    });
    expect(plain.steps).toHaveLength(2);
    const name = "classifier.weight";
    const [first, second] = [plain, apart].map(({ weights }) => weights.get(name)!.data);
    const moved = before.get(name)!.map((value, i) => (second![i]! - value) / (first![i]! - value));
    for (const ratio of moved) expect(ratio).toBeCloseTo(0.7 * 1.8, 3);
    for (const [i, { loss, gradientNorm, tokens }] of plain.steps.entries()) {
      expect(apart.steps[i]!.tokens).toBe(tokens);
      expect(apart.steps[i]!.loss).toBeCloseTo(loss, 5);
      expect(apart.steps[i]!.gradientNorm).toBeCloseTo(gradientNorm, 5);
    }
  });

  test("a schedule observes the mean gradient of a round's steps and replicas", async () => {
    const settings = { epochs: 1, batchSize: 10, dropout: false, learningRate: 1e-12, headLearningRate: 1e-12 };
    const seen = async (more: object): Promise<number[]> => {
      const sums: number[] = [];
      const onGradients = (_: number, gradients: Tensors<"float32">): void => {
        sums.push(gradients.get("classifier.weight")!.data[0]!);
      };
      await smallRun(base, lora, { settings: { ...settings, ...more }, onGradients });
      return sums;
    };
    const [first, second] = await seen({});
    // Both replicas have as many examples, so the mean of theirs is that of the batch.
    for (const observed of await seen({ localSteps: 2, replicas: 2 }))
      expect(observed).toBeCloseTo((first! + second!) / 2, 6);
  });

  test("other machines get the graphs of a run's steps, or its replicas, and nothing else changes", async () => {
    const asked = new Set<string>();
    // They compute here what they get.
    const machines: OtherMachines = {
      share: () => (part, own) => {
        asked.add(part);
        return own;
      },
      shareReplicas: (_model, weights, own) => {
        asked.add("replica");
        return async function* (replicas, signal) {
          for (const replica of replicas) yield await advance(own, weights, replica, signal);
        };
      },
    };
    for (const [settings, what] of [
      [{ epochs: 1 }, "step"],
      [{ epochs: 1, ...local }, "replica"],
    ] as const) {
      asked.clear();
      const shared = numbersOf(await smallRun(base, lora, { settings, machines }));
      expect([...asked]).toEqual([what]);
      expect(shared).toEqual(numbersOf(await smallRun(base, lora, { settings })));
    }
  });

  test("interrupted in a round and resumed, the run equals the uninterrupted one", async () => {
    const options = { freezeInterval: 2, freezeInitial: 2, freezeFinal: 4 };
    const whole = await smallRun(base, aflora, { options, settings: local });
    expect(whole.steps.map(({ step }) => step)).toEqual(Array.from({ length: 12 }, (_, step) => step));
    expect(whole.evaluations.map(({ step }) => step)).toEqual([0, 4, 8, 12]);
    expect(whole.freezing.at(-1)!.frozen.length).toBeGreaterThan(0);
    // Rounds end with steps 2, 3, 6, 7, 10 and 11: matrices that freeze within a round train until its end.
    for (const { step } of whole.freezing) expect([2, 3, 6, 7, 10, 11]).toContain(step);
    const abort = new AbortController();
    let saved: TrainingState | undefined;
    const first = await smallRun(base, aflora, {
      options,
      settings: local,
      signal: abort.signal,
      onStep: ({ step }) => step === 5 && abort.abort(),
      onCheckpoint: (state) => {
        saved = structuredClone(state);
      },
    });
    // A round of three steps began at the evaluation after step 4.
    expect(saved?.step).toBe(7);
    const second = await smallRun(base, aflora, { options, settings: local, resume: saved! });
    const joined = {
      ...second,
      steps: [...first.steps, ...second.steps],
      freezing: [...first.freezing, ...second.freezing],
      evaluations: [...first.evaluations, ...second.evaluations],
    };
    expect(numbersOf(joined)).toEqual(numbersOf(whole));
  });

  test("settings that local steps do not support are refused before training", () => {
    const schedule: Schedule = { trainable: () => new Set() };
    const settings = { ...SETTINGS, ...local };
    expect(localStepsNotes(settings, schedule, false)).toEqual([
      '2 replicas take 3 steps each before their adapters are joined (option "localSteps"); option "maxGradNorm" has no effect',
    ]);
    expect(() => localStepsNotes(settings, { ...schedule, afterStep() {} }, false)).toThrow(/after each step/);
    expect(() => localStepsNotes({ ...SETTINGS, replicas: 2 }, schedule, false)).toThrow(
      'requires option "localSteps"',
    );
    expect(() => localStepsNotes({ ...settings, replicas: 7 }, schedule, false)).toThrow(
      /option "replicas" 7 cannot share batches of 6 examples/,
    );
    expect(() => localStepsNotes(settings, schedule, true)).toThrow(/answers to learn from are written on one machine/);
  });
});

test("a replica's steps do not change when they are sent as a message", () => {
  const encoding = { inputIds: Int32Array.of(3, 1), tokenTypeIds: Int32Array.of(0, 1) };
  const example: TrainingExample = {
    index: 4,
    encoding,
    decoder: encoding,
    rows: Int32Array.of(0, 1),
    texts: [{ encoding }],
    targets: int32([2], Int32Array.of(7, -100)),
    weights: Float32Array.of(0.1, 1 / 3),
  };
  const other: TrainingExample = {
    index: 5,
    encoding,
    targets: float32([1, 1], Float32Array.of(0.7)),
    weights: Float32Array.of(1),
  };
  const replica: ReplicaSteps = {
    step: 9,
    batches: [[example, other], []],
    factors: [1 / 3, 0],
    groups: [{ names: ["a", "b"], learningRate: 1e-3, weightDecay: 0 }],
    returnsGradients: true,
  };
  const read = readMessage(replicaBytes({ shard: "0.9.replica.0", state: 0, part: REPLICA }, replica), jobSchema)!;
  if (read.facts.part !== REPLICA) throw new Error("read as another kind");
  const { shard, state, part, ...came } = read.facts;
  expect(came).toEqual(replica);
});
