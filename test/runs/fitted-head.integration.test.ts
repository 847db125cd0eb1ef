import { access, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadAdapter } from "../../src/base-models/adapter-folder-node.ts";
import { loadTask } from "../../src/preparation/load-task-node.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { timeRun } from "../../src/studies/estimate.ts";
import type { ProgressEvent } from "../../src/training/progress.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { writeTinyFamily } from "../support/tiny-family.ts";

let home: string;
let model: string;
let train: string;
/** A model that embeds sentences. */
let sentences: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-fitted-"));
  model = await writeTinyFamily(join(home, "bert"), "bert-1", { blocks: 1 });
  sentences = await writeTinyFamily(join(home, "sentences"), "bert-1", { blocks: 1 });
  await writeFile(
    join(sentences, "modules.json"),
    JSON.stringify([
      { idx: 0, name: "0", path: "", type: "sentence_transformers.models.Transformer" },
      { idx: 1, name: "1", path: "1_Pooling", type: "sentence_transformers.models.Pooling" },
    ]),
  );
  await mkdir(join(sentences, "1_Pooling"));
  await writeFile(join(sentences, "1_Pooling", "config.json"), JSON.stringify({ pooling_mode_mean_tokens: true }));
  train = join(home, "letters.csv");
  const rows = Array.from(
    { length: 40 },
    (_, i) => `${i % 2 ? "ddd" : "ccc"} ${"abefgh".slice(i % 5)},${i % 2 ? "d" : "c"}`,
  );
  await writeFile(train, ["text,label", ...rows, ""].join("\n"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

const run = (name: string, given: Record<string, unknown>, options = {}) =>
  fineTune({ model, train, threads: 1, batchSize: 8, output: join(home, name), ...given }, options);

/** Writes a file of all rows that a run read, the held-out ones last. */
async function allRowsOf(directory: string) {
  const { config } = await readRunRecords(directory);
  const { train: learned, validation } = await loadTask(config);
  const rows = [...learned, ...validation[0]!.examples].map(({ text, label }) => `${text},${label === 0 ? "c" : "d"}`);
  const file = join(directory, "all.csv");
  await writeFile(file, ["text,label", ...rows, ""].join("\n"));
  return { file, count: rows.length };
}

/** The weights of a run's last layer, at length 1, and whether they were fitted again. */
async function headOf(run: string) {
  const { description, parameters } = await loadAdapter(join(run, "adapter"));
  const { data } = parameters.get("classifier.weight")!;
  return { refit: description.refit, direction: Array.from(data, (value) => value / Math.hypot(...data)) };
}

test("zero epochs fit only the head, with any method", async () => {
  for (const method of ["aflora", "adalora"]) {
    const { result } = await run(`none-${method}`, { method, epochs: 0 });
    expect(result).toMatchObject({ steps: 0, bestEpoch: 0 });
    expect(result!.metrics.accuracy).toBe(1);
  }
});

test("--method head only fits the head: it takes no step, and predicts from its folder", async () => {
  const notes: string[] = [];
  const { result, directory } = await run(
    "alone",
    { method: "head" },
    {
      onEvent: on("start", (start: { notes: readonly string[] }) => notes.push(...start.notes)),
    },
  );
  expect(result).toMatchObject({ steps: 0, epochs: 0, bestEpoch: 0, secondsPerStep: 0, tokensPerSecond: 0 });
  expect(result!.metrics.accuracy).toBe(1);
  expect(notes.join()).toMatch(/the head starts fitted .*accuracy 1\.000 on 32 training examples/);

  // Of ten texts with four rows each, two were held out, so the head was fitted to all forty in the end: but for its temperature, it is that of a run on all.
  const { headFeatures } = JSON.parse(await readFile(join(directory, "config.json"), "utf8"));
  const whole = await run("alone-whole", { method: "head", validation: train, headFeatures });
  const [kept, expected] = await Promise.all([directory, whole.directory].map(headOf));
  expect(kept!.refit).toBe(true);
  expect(expected!.refit).toBeUndefined();
  for (const [i, value] of expected!.direction.entries()) expect(kept!.direction[i]).toBeCloseTo(value, 4);
  const [found] = await evaluateRun(directory);
  expect(found!.metrics).toMatchObject(result!.metrics);
});

test("a head of many classes learns the held-out texts in the end if a class has ten or fewer", async () => {
  const refitOf = async (perClass: number) => {
    const rows = Array.from({ length: 25 * perClass }, (_, i) => `text ${i},class ${i % 25}`);
    const many = join(home, `many-${perClass}.csv`);
    await writeFile(many, ["text,label", ...rows, ""].join("\n"));
    const { directory } = await run(`many-${perClass}`, { method: "head", train: many });
    return (await headOf(directory)).refit;
  };
  expect(await refitOf(10)).toBe(true);
  expect(await refitOf(11)).toBeUndefined();
});

test("a model of small classes is trained once more, on all texts and for as many epochs as the run took", async () => {
  const words = "abcdefgh";
  const word = (i: number) => words[i % words.length];
  const runOf = async (perClass: number, name: string, options: object = {}) => {
    const texts = (letter: string, k: number) =>
      Array.from({ length: perClass }, (_, i) => `${word(i)} ${word(i * (k + 1) + k)} ${word(i + 3 * k)},${letter}`);
    const small = join(home, `small-${perClass}.csv`);
    await writeFile(small, ["text,label", ...[..."cdk"].flatMap(texts), ""].join("\n"));
    // At this rate, an epoch before the last is the best.
    return run(name, { method: "aflora", train: small, epochs: 4, learningRate: 0.5 }, options);
  };
  const adapterOf = (name: string) => loadAdapter(join(home, name, "adapter"));
  const steps: (number | undefined)[] = [];
  const onProgress = ({ stage, total }: ProgressEvent) => stage === "training on all examples" && steps.push(total);
  const { result } = await runOf(10, "again", { onEvent: on("progress", onProgress) });
  expect(result!.bestEpoch).toBeLessThan(result!.epochs);
  expect(steps.at(-1)).toBe(16);
  const again = await adapterOf("again");
  expect(again.description.refit).toBe(true);

  await runOf(10, "once", { refit: false });
  const once = await adapterOf("once");
  expect(once.description.refit).toBeUndefined();
  for (const [name, { data }] of once.parameters) expect(again.parameters.get(name)!.data).not.toEqual(data);

  await runOf(11, "larger");
  expect((await adapterOf("larger")).description.refit).toBeUndefined();

  const abort = new AbortController();
  const onStep = ({ step }: { step: number }) => step === 5 && abort.abort();
  await runOf(10, "cut-small", { signal: abort.signal, onEvent: on("step", onStep) });
  await fineTune({ output: join(home, "cut-small") }, { resume: true });
  expect((await adapterOf("cut-small")).parameters).toEqual(again.parameters);
});

test("training starts from the fitted head, which is kept if training does not improve on it", async () => {
  // Rates at which training only does harm.
  const { result, notes, directory } = await run("harmed", {
    method: "lora",
    ...{ epochs: 2, learningRate: 3, headLearningRate: 3, maxGradNorm: 100, warmupRatio: 0 },
  });
  const { evaluations } = await readRunRecords(directory);
  expect(evaluations[0]!.metrics.accuracy).toBe(1);
  expect(evaluations.at(-1)!.metrics.accuracy).toBeLessThan(1);
  expect(result).toMatchObject({ bestEpoch: 0, metrics: evaluations[0]!.metrics });
  expect(notes.join()).toMatch(/training did not beat its starting point \(accuracy 1\.0000\)/);
  const adapter = JSON.parse(await readFile(join(directory, "adapter", "adapter.json"), "utf8"));
  const config = JSON.parse(await readFile(join(directory, "config.json"), "utf8"));
  expect(adapter.task.features).toBe(config.headFeatures);
});

test("a run whose head reads pooled hidden states resumes to the bit", async () => {
  const given = { method: "lora", headFeatures: "mean", epochs: 2 };
  const whole = await run("whole", given);
  const abort = new AbortController();
  await run("cut", given, {
    signal: abort.signal,
    onEvent: on("step", ({ step }: { step: number }) => step === 6 && abort.abort()),
  });
  await fineTune({ output: join(home, "cut") }, { resume: true });
  const weights = (name: string) => readFile(join(home, name, "adapter", "adapter.safetensors"));
  expect((await weights("cut")).equals(await weights("whole"))).toBe(true);
  expect(whole.result!.epochs).toBe(2);
});

test("a run from an adapter whose head reads pooled hidden states starts with that head", async () => {
  await run("first", { method: "lora", headFeatures: "mean", epochs: 1 });
  const { directory, result } = await fineTune({
    ...{ model, train, threads: 1, batchSize: 8, epochs: 1, output: join(home, "second") },
    adapter: join(home, "first"),
  });
  expect(result!.metrics.accuracy).toBe(1);
  const adapter = JSON.parse(await readFile(join(directory, "adapter", "adapter.json"), "utf8"));
  expect(adapter.task.features).toBe("mean");
});

test("classes with few texts are learned by contrast if the model embeds sentences, and resume to the bit", async () => {
  const given = { model: sentences, train, threads: 1, epochs: 4 };
  const { directory, result } = await fineTune({ ...given, output: join(home, "contrast") });
  const { config, steps, evaluations } = await readRunRecords(directory);
  expect(config.run).toMatchObject({ contrastive: true, headFeatures: "sentence", learningRate: 2e-2 });
  const { batchSize, epochs } = config.run;
  const { length: timed } = await timeRun(given);
  expect(timed).toMatchObject({ contrastive: true, batchSize, epochs });
  // Vectors of a class are drawn together.
  expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss);
  expect(evaluations[0]).toMatchObject({ step: 0 });
  expect(result!.metrics.accuracy).toBe(1);
  const [found] = await evaluateRun(directory);
  expect(found).toMatchObject({ metrics: { accuracy: 1 }, trainedOn: true });
  expect(result!.notes.join()).toContain("trained once more on all");

  // The kept model equals one that was trained on all rows, the held-out ones last.
  const rows = await allRowsOf(directory);
  const evaluateEvery = Math.ceil(rows.count / batchSize) * epochs;
  expect(timed.refitSteps).toBe(evaluateEvery);
  const whole = await fineTune({
    ...{ ...given, train: rows.file, validation: rows.file, output: join(home, "contrast-all") },
    ...{ contrastive: true, batchSize, epochs, evaluateEvery, warmupRatio: 0.1, headFeatures: "sentence" },
  });
  const [kept, expected] = await Promise.all(
    [directory, whole.directory].map((run) => loadAdapter(join(run, "adapter"))),
  );
  expect(kept!.description.refit).toBe(true);
  const names = [...expected!.parameters.keys()].filter((name) => !name.startsWith("classifier."));
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) expect(kept!.parameters.get(name)!.data).toEqual(expected!.parameters.get(name)!.data);

  // Twenty examples say how good a model is, so that they stay out of it.
  const half = await fineTune({ ...given, validationSplit: 0.5, output: join(home, "contrast-half") });
  expect((await loadAdapter(join(half.directory, "adapter"))).description.refit).toBeUndefined();

  // Nor is a trial's model trained once more, which is compared and not kept.
  const trial = await fineTune({ ...given, epochs: 1, output: join(home, "contrast-trial") }, { refit: false });
  expect((await loadAdapter(join(trial.directory, "adapter"))).description.refit).toBeUndefined();

  const abort = new AbortController();
  const onEvent = on("step", ({ step }: { step: number }) => step === 5 && abort.abort());
  await fineTune({ ...given, output: join(home, "contrast-cut") }, { signal: abort.signal, onEvent } as object);
  await fineTune({ output: join(home, "contrast-cut") }, { resume: true });
  const weights = (name: string) => readFile(join(home, name, "adapter", "adapter.safetensors"));
  expect((await weights("contrast-cut")).equals(await weights("contrast"))).toBe(true);
});

test("a model that trains whole is trained once more from the base model, not from what the run made of it", async () => {
  const given = { model: sentences, train, threads: 1, method: "full", headFeatures: "sentence", epochs: 4 };
  const { directory } = await fineTune({ ...given, output: join(home, "full") });
  const { config } = await readRunRecords(directory);
  const { file, count } = await allRowsOf(directory);
  const { batchSize, epochs } = config.run;
  const whole = await fineTune({
    ...{ ...given, train: file, validation: file, output: join(home, "full-all"), batchSize, contrastive: true },
    ...{
      learningRate: config.run.learningRate,
      warmupRatio: 0.1,
      evaluateEvery: Math.ceil(count / batchSize) * epochs,
    },
  });
  const adapters = [directory, whole.directory].map((run) => loadAdapter(join(run, "adapter")));
  const [kept, expected] = await Promise.all(adapters);
  expect(kept!.description.refit).toBe(true);
  for (const [name, { data }] of expected!.parameters)
    if (!name.startsWith("classifier.")) expect(kept!.parameters.get(name)!.data, name).toEqual(data);
});

test.each([
  ["lora-xs", { method: "lora-xs", rank: 2 }],
  ["aflora", { method: "aflora", initProjections: "gradients" }],
])("contrastive training resumes to the bit if the start of the adapter was computed: %s", async (name, method) => {
  const given = { model: sentences, train, threads: 1, epochs: 4, validationSplit: 0.5, ...method };
  await fineTune({ ...given, output: join(home, `computed-${name}`) });
  const abort = new AbortController();
  const onEvent = on("step", ({ step }: { step: number }) => step === 3 && abort.abort());
  await fineTune({ ...given, output: join(home, `computed-${name}-cut`) }, { signal: abort.signal, onEvent });
  await fineTune({ output: join(home, `computed-${name}-cut`) }, { resume: true });
  const weights = (run: string) => readFile(join(home, run, "adapter", "adapter.safetensors"));
  expect((await weights(`computed-${name}-cut`)).equals(await weights(`computed-${name}`))).toBe(true);
});

test("zero epochs are refused if the head starts from random values", async () => {
  await expect(run("nothing", { method: "lora", headStart: "new", epochs: 0 })).rejects.toThrow(
    /option "epochs" 0 only fits a head, .* or option "headStart" fitted/,
  );
  await expect(access(join(home, "nothing"))).rejects.toThrow();
});

test("--contrastive is refused without classes of single texts", async () => {
  const scored = join(home, "scored.csv");
  await writeFile(
    scored,
    ["text,label", ...Array.from({ length: 20 }, (_, i) => `abc ${"de".repeat(i)},${i / 7}`), ""].join("\n"),
  );
  await expect(run("refused", { train: scored, contrastive: true })).rejects.toThrow(
    /option "contrastive" learns one class/,
  );
});

test("several labels are predicted above the threshold of the fitted head, even after resuming", async () => {
  // One text of four has a label, which nothing in it tells: none is likelier than one half.
  const several = join(home, "several.jsonl");
  const rows = Array.from({ length: 40 }, (_, i) => ({ text: `abc ${"de".repeat(i % 7)}`, label: i % 4 ? [] : ["x"] }));
  await writeFile(several, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const given = { train: several, validation: several, kind: "multi-label", method: "lora", epochs: 2 };
  const { result, directory } = await run("several", given);
  const read = async (name: string, file: string) => JSON.parse(await readFile(join(home, name, file), "utf8"));
  expect((await read("several", "config.json")).labelThreshold).toBeLessThan(0.4);
  const [found] = await evaluateRun(directory, { validation: several });
  expect(found!.metrics.micro_f1).toBeGreaterThan(0.3);
  expect(found!.metrics).toMatchObject(result!.metrics);

  const abort = new AbortController();
  const onEvent = on("step", ({ step }: { step: number }) => step === 6 && abort.abort());
  await run("several-cut", given, { signal: abort.signal, onEvent });
  await fineTune({ output: join(home, "several-cut") }, { resume: true });
  const adapters = ["several", "several-cut"].map((name) => read(name, "adapter/adapter.json"));
  const [whole, resumed] = await Promise.all(adapters);
  expect(whole.task.options.labelThreshold).toBeGreaterThan(0);
  expect(resumed.task).toEqual(whole.task);
});

test("with class weights, only held-out rows give the temperature, not the weighted cross-validation", async () => {
  const noisy = join(home, "noisy.csv");
  const labelOf = (i: number) => (i % 4 === 0 || i % 10 === 3 ? "d" : "c");
  const rows = Array.from({ length: 150 }, (_, i) => `${i % 4 ? "ccc" : "ddd"} ${"abefgh".slice(i % 5)},${labelOf(i)}`);
  await writeFile(noisy, ["text,label", ...rows, ""].join("\n"));
  const given = { train: noisy, method: "head", classWeights: "balanced", validationSplit: 0.2, headFeatures: "mean" };
  const drawn = await run("weighted", given);
  const { config } = await readRunRecords(drawn.directory);
  const { train: learned, validation } = await loadTask(config);
  const fileOf = async (name: string, examples: readonly { text: string; label?: number }[]) => {
    const lines = examples.map(({ text, label }) => `${text},${label === 0 ? "c" : "d"}`);
    const file = join(home, name);
    await writeFile(file, ["text,label", ...lines, ""].join("\n"));
    return file;
  };
  const files = {
    train: await fileOf("learned.csv", [...learned]),
    validation: await fileOf("held.csv", [...validation[0]!.examples]),
  };
  const { validationSplit: _, ...same } = given;
  const own = await run("weighted-own", { ...same, ...files });
  expect(drawn.result!.calibration!.temperature).toBeCloseTo(own.result!.calibration!.temperature, 6);
});
