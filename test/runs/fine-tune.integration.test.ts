import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, sep } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadAdapter } from "../../src/base-models/adapter-folder-node.ts";
import { UserError } from "../../src/errors.ts";
import { fineTune as fineTuneWithReport } from "../../src/fine-tune.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { flatOptions } from "../../src/preparation/run-options-node.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import type { RunEvent, RunStart } from "../../src/runs/fine-tune-events.ts";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { lockRun } from "../../src/runs/run-lock.ts";
import type { RunResult } from "../../src/runs/run-result.ts";
import { type FineTuneOptions, fineTune } from "../support/fine-tune.ts";
import { on, together } from "../support/on-event.ts";
import { runtime } from "../support/runtime.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
let model: string;
let train: string;
/** A finished run: 41 training and 4 validation examples, 6 steps an epoch, 24 in all. */
let whole: string;
let result: RunResult;

const SETTINGS = {
  method: "aflora" as const,
  text: "message",
  label: "team",
  epochs: 4,
  batchSize: 7,
  learningRate: 1e-2,
  headStart: "new" as const,
  threads: 1,
};

/** Fine-tunes into a folder of this name. */
async function run(name: string, given: Record<string, unknown> = {}, options: FineTuneOptions = {}) {
  return fineTune({ model, train, ...SETTINGS, output: join(home, name), ...given }, options);
}

/** Runs that were cut off, by the number of their steps. */
const cutOff = new Map<number, string>();

/** Leaves a run that was cut off after `steps` optimizer steps. */
async function interrupted(name: string, steps: number): Promise<string> {
  const directory = join(home, name);
  const same = cutOff.get(steps);
  if (same) {
    await cp(same, directory, { recursive: true });
    return directory;
  }
  const abort = new AbortController();
  const outcome = await run(`cut off after ${steps}`, {}, {
    signal: abort.signal,
    onEvent: together(
      on("start", () => steps === 0 && abort.abort()),
      on("step", ({ step }) => step + 1 === steps && abort.abort()),
    ),
  } as FineTuneOptions);
  expect(outcome.result).toBeUndefined();
  cutOff.set(steps, outcome.directory);
  return interrupted(name, steps);
}

/** Ends a run after its first step. */
function aborting(onStart: (start: RunStart) => unknown = () => {}): FineTuneOptions {
  const abort = new AbortController();
  const onEvent = async (event: RunEvent): Promise<void> => {
    if (event.kind === "start") await onStart(event);
    else if (event.kind === "step") abort.abort();
  };
  return { signal: abort.signal, onEvent };
}

/** A callback that throws at one record. */
const failing =
  <Value>(at: (record: Value) => boolean) =>
  (record: Value): void => {
    if (at(record)) throw new Error("power cut");
  };

const resume = (directory: string, given: Record<string, unknown> = {}) =>
  fineTune({ output: directory, ...given }, { resume: true });

const lines = async (...path: string[]): Promise<Record<string, unknown>[]> =>
  (await readFile(join(...path), "utf8"))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

/** What two runs must have in common: everything but time, memory and place. */
async function contentOf(directory: string) {
  const without =
    (...keys: string[]) =>
    (record: object) =>
      Object.fromEntries(Object.entries(record).filter(([key]) => !keys.includes(key)));
  const { config, steps, evaluations, freezing, result } = await readRunRecords(directory);
  return {
    config: without("output")(flatOptions(config)),
    steps: steps.map(without("seconds", "memory")),
    evaluations,
    freezing: freezing.map(without("compileSeconds")),
    result: without("seconds", "secondsPerStep", "tokensPerSecond", "peakMemory", "memoryEstimate")(result!),
    adapter: await readFile(join(directory, "adapter", "adapter.safetensors")),
  };
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-runs-"));
  model = await writeTinyModel(join(home, "model"));
  train = await writeCsv(join(home, "tickets.csv"), tickets());
  const outcome = await run("whole");
  whole = outcome.directory;
  result = outcome.result!;
});
afterAll(() => rm(home, { recursive: true }));

describe("a run folder", () => {
  test("holds config, records, checkpoint, adapter and result, and nothing else", async () => {
    const files = await readdir(whole, { recursive: true });
    expect(files.map((path) => path.replaceAll(sep, "/")).sort()).toEqual(
      [
        "adapter",
        "adapter/adapter.json",
        "adapter/adapter.safetensors",
        "checkpoints",
        "checkpoints/step-18.safetensors",
        "checkpoints/step-24.safetensors",
        "config.json",
        "data.json",
        "findings.json",
        "freezing.jsonl",
        "metrics.jsonl",
        "result.json",
      ].sort(),
    );
  });

  test("config.json has every option, defaults filled in", async () => {
    const config = JSON.parse(await readFile(join(whole, "config.json"), "utf8"));
    expect(config).toMatchObject({
      ...{ method: "aflora", model, train, text: "message", label: "team", output: whole },
      ...{ epochs: 4, batchSize: 7, tokenBudget: 512, maxLength: 256, seed: 42, device: "cpu", head: "new" },
      ...{ learningRate: 1e-2, headLearningRate: 4e-3, weightDecay: 0.1, warmupRatio: 0.06, maxGradNorm: 0.1 },
      ...{ rank: 4, freezeRule: "element-quantile", freezeScore: "gradient", freezeWindowed: true, beta1: 0.85 },
    });
  });

  test("metrics.jsonl has one record per step and per evaluation, beginning with the model before training", async () => {
    const records = await lines(whole, "metrics.jsonl");
    const steps = records.filter(({ kind }) => kind === "step");
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 24 }, (_, step) => step));
    for (const record of steps) {
      for (const key of ["epoch", "loss", "learningRate", "gradientNorm", "trainable", "frozen", "seconds", "tokens"]) {
        expect(record[key], key).toEqual(expect.any(Number));
      }
      expect(record.memory).toBeGreaterThan(50e6);
    }
    expect(records[0]).toMatchObject({ kind: "evaluation", epoch: 0, step: 0 });
    const evaluations = records.filter(({ kind }) => kind === "evaluation");
    expect(evaluations.map(({ step }) => step)).toEqual([0, 6, 12, 18, 24]);
  });

  test("freezing.jsonl has one record per check, with every matrix's score", async () => {
    const checks = await lines(whole, "freezing.jsonl");
    const names = Object.keys(result.frozenAtStep);
    expect(names).toHaveLength(4);
    for (const { scores } of checks) expect(Object.keys(scores as object)).toEqual(names);
    for (const [name, at] of Object.entries(result.frozenAtStep)) {
      expect(checks.find(({ step }) => step === at)!.frozen).toContain(name);
    }
  });

  test("result.json holds the result of the run", async () => {
    expect(JSON.parse(await readFile(join(whole, "result.json"), "utf8"))).toEqual(result);
    const { steps, evaluations } = await readRunRecords(whole);
    const best = Math.max(...evaluations.map(({ metrics }) => metrics.accuracy!));
    expect(result).toMatchObject({
      ...{ method: "aflora", task: "custom", model, seed: 42, steps: 24, epochs: 4 },
      lastEpochMetrics: evaluations.at(-1)!.metrics,
      metrics: evaluations[result.bestEpoch]!.metrics,
      frozen: { count: 4, of: 4 },
      trainable: { start: steps[0]!.trainable, end: steps.at(-1)!.trainable, head: 3 * 32 + 3 },
      adapterBytes: (await stat(join(whole, "adapter", "adapter.safetensors"))).size,
    });
    expect(result.metrics.accuracy).toBe(best);
    expect(result.trainable.average).toBeCloseTo(steps.reduce((sum, { trainable }) => sum + trainable, 0) / 24, 6);
    const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
    expect(result.tokensPerSecond).toBeCloseTo(steps.reduce((sum, step) => sum + step.tokens, 0) / seconds, 3);
    expect(result.seconds).toBeGreaterThanOrEqual(seconds);
    expect(result.peakMemory).toBe(Math.max(result.peakMemory, ...steps.map(({ memory }) => memory!)));
    const { weights, optimizer, activations, total } = result.memoryEstimate;
    expect(total).toBeGreaterThan(weights + optimizer + activations);
    expect(result.flops).toBeGreaterThan(0);
  });

  test("its adapter holds the trained parameters, and reproduces the best epoch's metrics", async () => {
    const { description, parameters } = await loadAdapter(join(whole, "adapter"));
    expect(description).toMatchObject({
      ...{ format: "aflora-adapter", model, modelType: "bert", method: "aflora", maxLength: 40 },
      task: { name: "custom", kind: "classification", labels: ["billing", "bug", "delivery"] },
    });
    // Six linear layers, with A, B, d and b each, and the classifier.
    expect(parameters.size).toBe(6 * 4 + 2);
    const [evaluation] = await evaluateRun(whole, { threads: 1 });
    expect(evaluation!.metrics).toEqual(result.metrics);
    expect(evaluation!.confusion!.flat().reduce((sum, count) => sum + count, 0)).toBe(evaluation!.examples);
  });

  test("an adapter folder alone is enough to predict", async () => {
    const [ofRun, ofAdapter] = [
      await loadFineTunedModel(whole, runtime),
      await loadFineTunedModel(join(whole, "adapter"), runtime),
    ];
    const inputs = ["my card was charged twice", "the app does not open"].map((text) => ({ text }));
    const predictions = await ofRun.predict(inputs);
    expect(await ofAdapter.predict(inputs)).toEqual(predictions);
    for (const { label, labels } of predictions) {
      expect(labels!.map((each) => each.label).sort()).toEqual(["billing", "bug", "delivery"]);
      expect(label).toBe(labels![0]!.label);
      expect(labels!.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 5);
    }
    await ofRun.release();
    await ofAdapter.release();
  });

  test("class weights change the run", async () => {
    const given = { method: "head", train: await uneven(), epochs: 1 };
    const { directory } = await run("weighted", { classWeights: "balanced", ...given });
    const { directory: plain } = await run("unweighted", given);
    const losses = async (of: string) => (await readRunRecords(of)).steps.map(({ loss }) => loss);
    expect(await losses(directory)).not.toEqual(await losses(plain));
  });

  /** Half of one class left out. */
  const uneven = () =>
    writeCsv(
      join(home, "uneven.csv"),
      tickets().filter(({ team }, i) => team !== "bug" || i % 2 === 0),
    );
});

describe("a folder that holds a run", () => {
  test("is refused, naming --overwrite and --resume, and stays as it was", async () => {
    const before = await contentOf(whole);
    await expect(run("whole")).rejects.toThrow(
      new UserError(
        `${whole} already holds a run; option "overwrite" replaces it, option "resume" continues it, option "output" names another folder`,
      ),
    );
    expect(await contentOf(whole)).toEqual(before);
  });

  test("is replaced with --overwrite, which removes a run's files and nothing else", async () => {
    const directory = join(home, "replaced");
    await cp(whole, directory, { recursive: true });
    await writeFile(join(directory, "notes.txt"), "mine");
    await writeFile(join(directory, "report.html"), "old");
    await run("replaced", { epochs: 1 }, { overwrite: true });
    expect(await readFile(join(directory, "notes.txt"), "utf8")).toBe("mine");
    expect(existsSync(join(directory, "report.html"))).toBe(false);
    expect((await readRunRecords(directory)).steps).toHaveLength(6);
  });

  test("is left alone while another process writes it, and taken over after that process has ended", async () => {
    const directory = await interrupted("locked", 3);
    const unlock = await lockRun(directory);
    const locked = `process ${process.pid} is writing the run in ${directory}; wait until it ends`;
    await expect(resume(directory)).rejects.toThrow(new UserError(locked));
    await expect(run("locked", {}, { overwrite: true })).rejects.toThrow(new UserError(locked));
    await unlock();
    await writeFile(join(directory, "run.lock"), `${process.pid}\n`);
    const starts: RunStart[] = [];
    await fineTune({ output: directory }, { resume: true, ...aborting((start) => starts.push(start)) });
    expect(starts[0]!.stepsDone).toBe(3);
    expect(existsSync(join(directory, "run.lock"))).toBe(false);
  });
});

describe("a run that was cut off", () => {
  test.each([0, 3, 13])("after %i steps resumes from its folder as if it had not stopped", async (steps) => {
    const directory = await interrupted(`cut-${steps}`, steps);
    expect(await readdir(directory)).not.toContain("run.lock");
    expect((await readRunRecords(directory)).result).toBeUndefined();
    const { result: found } = await resume(directory);
    expect(found).toMatchObject({ metrics: result.metrics, trainable: result.trainable, frozen: result.frozen });
    expect(await contentOf(directory)).toEqual(await contentOf(whole));
  });

  let undisturbed: string | undefined;
  test.each([6, 8])("within the step or the evaluation after %i steps repeats it", async (steps) => {
    // Several runs of a graph each, of which the first is not the last.
    const given = { tokenBudget: 12, method: "lora", epochs: 2 };
    undisturbed ??= (await run("undisturbed", given)).directory;
    const abort = new AbortController();
    const onEvent = on("step", ({ step }: { step: number }): void => {
      if (step + 1 === steps) setImmediate(() => abort.abort());
    });
    const { directory, result } = await run(`within-${steps}`, given, { signal: abort.signal, onEvent });
    expect(result).toBeUndefined();
    const before = await readRunRecords(directory);
    expect([before.steps.length, before.evaluations.length]).toEqual(steps === 6 ? [6, 1] : [8, 2]);
    await resume(directory);
    expect(await contentOf(directory)).toEqual(await contentOf(undisturbed));
  });

  test("by a crash resumes from the last checkpoint: later records and half a line are dropped", async () => {
    const crash = run(
      "crashed",
      {},
      {
        onEvent: on("step", ({ step }) => {
          if (step === 9) throw new Error("power cut");
        }),
      },
    );
    await expect(crash).rejects.toThrow("power cut");
    const directory = join(home, "crashed");
    await appendFile(join(directory, "metrics.jsonl"), '{"kind":"step","st');
    await appendFile(join(directory, "freezing.jsonl"), '{"step":1');
    await resume(directory);
    expect(await contentOf(directory)).toEqual(await contentOf(whole));
  });

  test.each([
    [
      "half of its records",
      (lines: string[]) => lines.slice(0, lines.length / 2),
      /metrics\.jsonl lacks records of the 13 steps/,
    ],
    [
      "a record that is damaged",
      ([, ...rest]: string[]) => ["{", ...rest],
      /metrics\.jsonl, line 1, is not a JSON object/,
    ],
  ])("is refused with %s, and stays as it was", async (what, damage, message) => {
    const directory = await interrupted(what, 13);
    const file = join(directory, "metrics.jsonl");
    const damaged = damage((await readFile(file, "utf8")).split("\n")).join("\n");
    await writeFile(file, damaged);
    await expect(resume(directory)).rejects.toThrow(message);
    expect(await readFile(file, "utf8")).toBe(damaged);
  });

  test("accepts its options again, with another number of threads, and notes that bits may differ", async () => {
    const directory = await interrupted("again", 3);
    const again = { ...SETTINGS, model, train, freezeWindowed: true, threads: 2, output: directory };
    const starts: RunStart[] = [];
    await fineTune(again, { resume: true, ...aborting((start) => starts.push(start)) });
    expect(starts[0]!.notes).toEqual([
      "the run continues with another number of threads (1, now 2); its numbers may differ in their last bits",
    ]);
  });

  test("of a length in steps equals the run of as many epochs, and keeps that length", async () => {
    const steps = { epochs: undefined, maxSteps: 24 };
    const abort = new AbortController();
    const onEvent = on("step", ({ step }) => step === 8 && abort.abort()) as NonNullable<FineTuneOptions["onEvent"]>;
    const { directory } = await run("steps", steps, { signal: abort.signal, onEvent });
    await expect(resume(directory, { maxSteps: 30 })).rejects.toThrow(/has maxSteps 24, not 30/);
    await resume(directory);
    const [found, expected] = [await contentOf(directory), await contentOf(whole)];
    const { config: own, ...numbers } = found;
    const { config: _, ...wholeNumbers } = expected;
    expect(own).toMatchObject({ maxSteps: 24 });
    expect(numbers).toEqual(wholeNumbers);
  });

  test("requires the data that it began with, to the byte", async () => {
    const [own, held] = [join(home, "own.csv"), join(home, "held.csv")];
    await cp(train, own);
    await cp(train, held);
    const { directory } = await run("data", { train: own, validation: held, epochs: 1 }, aborting());
    const written = await readFile(held, "utf8");
    for (const [file, text] of [
      [held, written.replace(/\n[A-Za-z]/, "\n#")],
      [own, `${written}${written.split("\n").at(-2)}\n`],
    ] as const) {
      await writeFile(file, text);
      await expect(resume(directory)).rejects.toThrow(
        new UserError(
          `${file} is not the data that the run in ${directory} began with; restore the file or start a new run`,
        ),
      );
      await writeFile(file, written);
    }
    expect((await resume(directory)).result?.steps).toBe(7);
  });

  test("keeps its options", async () => {
    const directory = await interrupted("other", 3);
    const refused = async (given: Record<string, unknown>, message: string) =>
      expect(resume(directory, given)).rejects.toThrow(new UserError(message));
    const advice = "leave the option out or start a new run";
    await refused({ epochs: 9 }, `option "resume": the run in ${directory} has epochs 4, not 9; ${advice}`);
    await refused(
      { method: "lora" },
      `option "resume": the run in ${directory} has method "aflora", not "lora"; ${advice}`,
    );
    await refused({ patience: 2 }, `option "resume": the run in ${directory} has patience unset, not 2; ${advice}`);
    await refused({ epohcs: 4 }, 'unknown option "epohcs" of method "aflora"; did you mean "epochs"?');
  });

  test("has nothing to resume after it has finished", async () => {
    await expect(resume(whole)).rejects.toThrow(
      new UserError(`the run in ${whole} has finished; nothing is left to resume`),
    );
    await expect(fineTune({}, { resume: true })).rejects.toThrow(
      new UserError('which run should continue? Name its folder with option "resume" DIR'),
    );
    await expect(resume(join(home, "nowhere"))).rejects.toThrow(/nowhere is not a run folder/);
  });

  test("before its first step starts again, but not if its checkpoints were lost", async () => {
    const crash = run(
      "early",
      {},
      {
        onEvent: on("start", () => {
          throw new Error("power cut");
        }),
      },
    );
    await expect(crash).rejects.toThrow("power cut");
    await resume(join(home, "early"));
    expect(await contentOf(join(home, "early"))).toEqual(await contentOf(whole));

    const directory = await interrupted("lost", 3);
    await rm(join(directory, "checkpoints"), { recursive: true });
    await expect(resume(directory)).rejects.toThrow(/nothing to resume from: .*; run again with option "overwrite"/);
  });

  test("between an epoch's last step and its evaluation still evaluates", async () => {
    const crash = run(
      "unevaluated",
      { checkpointEvery: 6 },
      {
        onEvent: on(
          "evaluation",
          failing(({ epoch }) => epoch === 2),
        ),
      },
    );
    await expect(crash).rejects.toThrow("power cut");
    const directory = join(home, "unevaluated");
    expect(await readdir(join(directory, "checkpoints"))).toContain("step-12.safetensors");
    await resume(directory);
    expect({ ...(await contentOf(directory)), config: {} }).toEqual({ ...(await contentOf(whole)), config: {} });
  });

  test("loses at most the checkpoint interval, by steps or seconds; the last two checkpoints are kept", async () => {
    for (const [checkpointEvery, kept] of [
      [2, ["step-2.safetensors", "step-4.safetensors"]],
      ["0.000001s", ["step-4.safetensors", "step-5.safetensors"]],
      ["60s", ["step-0.safetensors"]],
    ] as const) {
      const name = `every-${checkpointEvery}`;
      const crash = run(
        name,
        { checkpointEvery },
        {
          onEvent: on(
            "step",
            failing(({ step }) => step === 5),
          ),
        },
      );
      await expect(crash).rejects.toThrow("power cut");
      expect((await readdir(join(home, name, "checkpoints"))).sort()).toEqual(kept);
    }
    const directory = join(home, "every-2");
    await resume(directory);
    expect({ ...(await contentOf(directory)), config: {} }).toEqual({ ...(await contentOf(whole)), config: {} });
    for (const checkpointEvery of ["0", 0, "0s", "0.0s", "often", -1, 1.5]) {
      await expect(run("never", { checkpointEvery })).rejects.toThrow(/option "checkpointEvery": give steps/);
    }
  });

  test("keeps the peak memory of its first part, and is cleared of temporary files of a process that ended while it wrote", async () => {
    const directory = await interrupted("orphans", 3);
    const file = join(directory, "metrics.jsonl");
    await writeFile(file, (await readFile(file, "utf8")).replace(/"memory":\d+/, '"memory":1e15'));
    const orphan = `step-3.safetensors.${randomUUID()}.tmp`;
    await writeFile(join(directory, "checkpoints", orphan), "half");
    await writeFile(join(directory, `metrics.jsonl.${randomUUID()}.tmp`), "half");
    await writeFile(join(directory, "mine.tmp"), "");
    expect((await resume(directory)).result?.peakMemory).toBe(1e15);
    const left = await readdir(directory, { recursive: true });
    expect(left.filter((name) => name.endsWith(".tmp"))).toEqual(["mine.tmp"]);
  });

  test("with its newest checkpoint damaged names it and goes on from the one before", async () => {
    const directory = await interrupted("damaged", 9);
    const checkpoints = join(directory, "checkpoints");
    const newest = join(checkpoints, "step-9.safetensors");
    const bytes = await readFile(newest);
    const cutShort = bytes.subarray(0, 5000);
    const oneBitChanged = Buffer.from(bytes);
    oneBitChanged[bytes.length - 100]! ^= 1;
    for (const damaged of [cutShort, oneBitChanged]) {
      await writeFile(newest, damaged);
      const starts: RunStart[] = [];
      const onEvent = on("start", (start: RunStart) => {
        starts.push(start);
        throw new Error("power cut");
      });
      await expect(fineTune({ output: directory }, { resume: true, onEvent })).rejects.toThrow("power cut");
      expect(starts[0]!.stepsDone).toBe(6);
      expect(starts[0]!.notes[0]).toMatch(/step-9\.safetensors .*; the checkpoint before it is used$/);
      expect(existsSync(newest)).toBe(false);
    }
    await resume(directory);
    expect(await contentOf(directory)).toEqual(await contentOf(whole));

    for (const name of await readdir(checkpoints)) await writeFile(join(checkpoints, name), "damaged");
    await rm(join(directory, "result.json"));
    await expect(resume(directory)).rejects.toThrow(
      /no checkpoint of .* can be read; run again with option "overwrite"/,
    );
  });
});

test("early stopping ends a run with a result", async () => {
  const { result: stopped } = await run("patient", {
    headStart: "fitted",
    patience: 1,
    learningRate: 1e-12,
    headLearningRate: 1e-12,
  });
  // The fitted head that it starts from is the first to beat.
  expect(stopped).toMatchObject({ epochs: 1, steps: 6 });
});

test("a NaN loss ends the run; no result is written, and the lock is released", async () => {
  const exploding = run("exploding", { learningRate: 1e30, headLearningRate: 1e30, warmupRatio: 0 });
  await expect(exploding).rejects.toThrow(
    /^the (loss|norm of the gradient) is .* at step \d+ \(epoch 1, batch \d of 6\)/,
  );
  const files = ["checkpoints", "config.json", "data.json", "freezing.jsonl", "metrics.jsonl"];
  expect((await readdir(join(home, "exploding"))).sort()).toEqual(files);
});

test.each([
  [
    "a parameter",
    1e39,
    /^\S+ has values that are not finite after step 0 \(epoch 1, batch 1 of 1\); lower the learning rate$/,
  ],
  ["the outputs", 1e30, /^the model's outputs on the validation examples are not finite; lower the learning rate/],
])("where the last step's learning rate overflows in %s, there is no adapter", async (what, rate, message) => {
  const rates = { learningRate: rate, headLearningRate: rate, warmupRatio: 0 };
  const one = { epochs: 1, batchSize: 1000, method: "lora" };
  await expect(run(`overflow in ${what}`, { ...rates, ...one })).rejects.toThrow(message);
  const directory = join(home, `overflow in ${what}`);
  expect(await readdir(directory)).not.toContain("adapter");
  expect(await readdir(join(directory, "checkpoints"))).toEqual(["step-0.safetensors"]);
});

test("a failure after training says that training is saved and what to repeat", async () => {
  const directory = join(home, "unsaved");
  const inTheWay = join(directory, "adapter");
  const failing = run("unsaved", { method: "head" }, { onEvent: on("start", () => writeFile(inTheWay, "")) });
  await expect(failing).rejects.toThrow(
    `cannot write ${inTheWay}: there is a file of that name; remove it or choose another place; training has ended and is saved: option "resume" ${directory} writes what is missing`,
  );
  await rm(inTheWay);
  expect((await resume(directory)).result?.steps).toBe(24);
  expect((await loadAdapter(inTheWay)).parameters.size).toBe(2);
});

test("a run whose report cannot be written has finished, and names the command to repeat", async () => {
  const output = join(home, "unreported");
  const onEvent = on("start", () => mkdir(join(output, "report.html")).then(() => undefined));
  const outcome = await fineTuneWithReport({ model, train, ...SETTINGS, method: "head", output }, { onEvent });
  expect(outcome.result?.steps).toBe(24);
  expect(outcome.reportFailure).toMatch(
    /report\.html: .*; the run has finished, only its report is missing; write it with aflora report /,
  );
});

test("if an option, the data or the model cannot be used, nothing is written", async () => {
  const cases: Record<string, unknown>[] = [
    { rank: 0 },
    { method: "lora-xs", rank: 100 },
    { learningRate: "fast" },
    { model: join(home, "nowhere") },
    { train: join(home, "nowhere.csv") },
    { text: "nowhere" },
    { device: "abacus" },
    { threads: 0.5 },
  ];
  for (const given of cases) {
    await expect(run("never", given), JSON.stringify(given)).rejects.toThrow(UserError);
    expect(existsSync(join(home, "never"))).toBe(false);
  }
  await writeFile(join(home, "a-file"), "");
  await expect(run("a-file/run")).rejects.toThrow(/^cannot make the run folder .*; choose another option "output"$/);
});
