import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { trainCommand } from "../../src/cli/commands/train.ts";
import { registerArchitecture, registerMethod, registerTaskKind } from "../../src/extend.ts";
import {
  evaluateRun,
  exportRun,
  type FineTuneConfig,
  fineTune,
  loadFineTunedModel,
  readRunRecords,
  UserError,
} from "../../src/index.ts";
import { on } from "../support/on-event.ts";
import { runtime } from "../support/runtime.ts";
import { tickets, writeCsv } from "../support/tiny-model.ts";
import { outputScales } from "./output-scales.ts";
import { writeRandomModel } from "./random-model.ts";
import { ranking } from "./ranking.ts";
import { sparrow } from "./sparrow.ts";

const CONFIG = {
  model_type: "sparrow",
  // Not a multiple of the heads, which need not share it.
  hidden_size: 30,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 8,
  attention_dropout: 0.1,
  max_position_embeddings: 24,
};
const URGENCY: Record<string, number> = { billing: 3, delivery: 2.5, bug: -1 };

let home: string;
let run: string;

const configOf = (output: string): FineTuneConfig => ({
  model: join(home, "model"),
  train: join(home, "tickets.csv"),
  text: "message",
  label: "urgency",
  kind: "ranking",
  validationSplit: 0.25,
  method: "output-scales",
  steepness: 2,
  learningRate: 0.05,
  headLearningRate: 0.05,
  maxGradNorm: 1,
  epochs: 8,
  batchSize: 15,
  // Three micro-batches or more a step: the objective needs the whole batch nevertheless.
  tokenBudget: 40,
  threads: 1,
  output,
});

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-outside-"));
  expect(() => registerArchitecture({ ...sparrow, modelTypes: { bert: "Sparrow" } })).toThrow(UserError);
  registerArchitecture(sparrow);
  registerTaskKind(ranking);
  registerMethod(outputScales);
  await writeRandomModel(join(home, "model"), CONFIG);
  const rows = tickets(4).map(({ message, team }) => ({ message, urgency: URGENCY[team]! }));
  await writeCsv(join(home, "tickets.csv"), rows);
  run = join(home, "run");
  await fineTune(configOf(run));
});
afterAll(() => rm(home, { recursive: true }));

test("a family, a kind of task and a method from outside train together", async () => {
  const { config, steps, freezing, evaluations, result } = await readRunRecords(run);
  expect(config.method).toEqual({ name: "output-scales", options: { freezeAfter: 0.5 } });
  expect(result).toMatchObject({ steps: 24, epochs: 8 });
  expect(evaluations[0]!.metrics.ordered_pairs).toBeLessThan(0.8);
  expect(result!.metrics.ordered_pairs).toBeGreaterThan(0.95);
  // Attention's scales freeze half-way: q, k, v and o of two blocks.
  expect(freezing.map(({ step, frozen }) => [step, frozen.length])).toEqual([[11, 8]]);
  const [attention, ffn] = [2 * (32 + 16 + 16 + 30), 2 * (48 + 48 + 30)];
  expect(steps.map(({ trainable }) => trainable)).toEqual([
    ...new Array(12).fill(attention + ffn),
    ...new Array(12).fill(ffn),
  ]);
});

test("the run is evaluated and predicts", async () => {
  const { result } = await readRunRecords(run);
  const [evaluation] = await evaluateRun(run, { threads: 1 });
  expect(evaluation!.metrics).toEqual(result!.metrics);
  const tuned = await loadFineTunedModel(run, runtime);
  const [high, low] = await tuned.ofKind("ranking").predict(["my card was charged twice", "the app does not open"]);
  await tuned.release();
  expect(high!.score).toBeGreaterThan(low!.score);
});

test("the kind's own option is checked, saved with the adapter, and another kind's is refused", async () => {
  const { task } = JSON.parse(await readFile(join(run, "adapter", "adapter.json"), "utf8"));
  expect(task.options).toEqual({ steepness: 2 });
  const refused = (given: Partial<FineTuneConfig>) =>
    expect(fineTune({ ...configOf(join(home, "refused")), ...given } as FineTuneConfig)).rejects;
  await refused({ steepness: -1 }).toThrow('option "steepness" of task kind "ranking": it must be above 0, not -1');
  await refused({ margin: 1 }).toThrow(
    'option "margin" belongs to embedding and image-embedding, not to task kind "ranking"',
  );
  await refused({ kind: "regression" }).toThrow('option "steepness" belongs to ranking, not to task kind "regression"');
});

test("the command line knows it: its help shows the option, its config file checks it", async () => {
  const command = trainCommand().exitOverride();
  const flag = command.options.find(({ long }) => long === "--steepness")!;
  expect([flag.description, flag.helpGroupHeading]).toEqual([
    "factor of the differences of scores in the loss (default: 1)",
    "Task kind ranking:",
  ]);
  const file = join(home, "ranking.yaml");
  await writeFile(file, `train: ${join(home, "tickets.csv")}\nkind: ranking\nsteepnes: 2\n`);
  await expect(command.parseAsync(["--config", file], { from: "user" })).rejects.toThrow(
    'unknown option "steepnes" of method "lora"; did you mean "steepness"?',
  );
});

test("it is exported, and what is written computes the same", async () => {
  const merged = await exportRun(run, { format: "merged", output: join(home, "merged") }, { threads: 1 });
  expect(merged.comparedTexts).toBeGreaterThan(10);
  const config = JSON.parse(await readFile(join(home, "merged", "config.json"), "utf8"));
  expect(config.architectures).toEqual(["SparrowForSequenceClassification"]);
  // Padded on the right, in batches of texts of unequal length.
  const onnx = await exportRun(run, { format: "onnx", output: join(home, "onnx") }, { threads: 1 });
  expect(onnx.largestDifference).toBeLessThan(1e-5);
  await expect(exportRun(run, { format: "peft", output: join(home, "peft") }, { threads: 1 })).rejects.toThrow(
    UserError,
  );
});

test("a run that was cut off goes on as if it had not been, its schedule too", async () => {
  const whole = await readRunRecords(run);
  const output = join(home, "resumed");
  // Before and after the schedule freezes something.
  for (const last of [5, 16]) {
    const abort = new AbortController();
    const onEvent = on("step", ({ step }: { step: number }) => {
      if (step === last) abort.abort();
    });
    const { result } = await fineTune(configOf(output), { signal: abort.signal, onEvent, resume: last > 5 });
    expect(result).toBeUndefined();
  }
  await fineTune({ output }, { resume: true });
  const { steps, result } = await readRunRecords(output);
  expect(steps.map(({ loss, trainable }) => [loss, trainable])).toEqual(
    whole.steps.map(({ loss, trainable }) => [loss, trainable]),
  );
  expect(result!.metrics).toEqual(whole.result!.metrics);
});
