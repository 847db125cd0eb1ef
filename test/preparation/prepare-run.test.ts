import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { saveAdapter } from "../../src/base-models/adapter-folder-node.ts";
import { loadBaseModel, openModel } from "../../src/base-models/load-base-model-node.ts";
import type { Tokenizer } from "../../src/inputs/tokenizer.ts";
import { DEFAULT_METHOD, findMethod } from "../../src/methods/methods.ts";
import { withDefaults } from "../../src/preparation/defaults.ts";
import { encodeTask } from "../../src/preparation/encoded-task.ts";
import { loadTask } from "../../src/preparation/load-task-node.ts";
import { prepareFromFiles } from "../../src/preparation/prepare-from-files-node.ts";
import { type FinishedRun, prepareRun } from "../../src/preparation/prepare-run.ts";
import { parseOptions } from "../../src/preparation/run-options-node.ts";
import { methodStart } from "../../src/preparation/stages/method-start.ts";
import type { FineTuningSettings } from "../../src/preparation/training-options.ts";
import { partOptions, trainingOptions } from "../../src/preparation/training-options.ts";
import { timeRun } from "../../src/studies/estimate.ts";
import { madePicture, pictureModel, savePicture } from "../support/pictures.ts";
import { runtime } from "../support/runtime.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
let model: string;
let train: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-prepare-"));
  model = await writeTinyModel(join(home, "model"));
  train = await writeCsv(join(home, "tickets.csv"), tickets());
});
afterAll(() => rm(home, { recursive: true }));

/** The same tokenizer, which counts how often it encodes each text. */
const counting = (tokenizer: Tokenizer, counts: Map<string, number>): Tokenizer =>
  new Proxy(tokenizer, {
    get(own, key: keyof Tokenizer) {
      const value = own[key];
      if (typeof value !== "function") return value;
      return (...given: unknown[]) => {
        if (key === "encode") counts.set(String(given[0]), (counts.get(String(given[0])) ?? 0) + 1);
        return Reflect.apply(value, own, given);
      };
    },
  });

/** A run of the tiny model on a file, which counts how often each text is encoded. */
function preparedWith(
  given: Readonly<Record<string, unknown>>,
  { file, validationSplit, onNote }: { file: string; validationSplit?: number; onNote?: (note: string) => void },
  counts: Map<string, number>,
) {
  const { options, method } = partOptions(trainingOptions, DEFAULT_METHOD.name, given);
  return prepareRun(
    {
      base: "float32",
      settle: (suits) => ({ method, settings: withDefaults(options, findMethod(method.name), suits) }),
    },
    {
      readTask: () => loadTask(parseOptions({ train: file, text: "message", label: "team", validationSplit })),
      async openModel() {
        const opened = await openModel(model);
        const tokenizer = counting(opened.tokenizer, counts);
        return { ...opened, tokenizer, read: async (...asked) => ({ ...(await opened.read(...asked)), tokenizer }) };
      },
      openRuntime: async () => ({ runtime }),
      fitMemory: ({ memory }) => ({ memory, notes: [] }),
    },
    { onNote },
  );
}

test("each text is encoded once for notes, fitted head, training, calibration and refit together", async () => {
  const counts = new Map<string, number>();
  const given = { epochs: 1, batchSize: 8, contrastive: true, headFeatures: "mean" };
  const prepared = await preparedWith(given, { file: train }, counts);
  let finished: FinishedRun | undefined;
  for await (const event of prepared.fineTuning.train(runtime)) {
    if (event.kind === "end") finished = await prepared.finish(event);
  }

  expect(finished!.adapter.description).toMatchObject({ refit: true, temperature: expect.any(Number) });
  const texts = tickets().map(({ message }) => message);
  expect(Object.fromEntries(counts)).toEqual(Object.fromEntries(texts.map((text) => [text, 1])));
});

test("only texts whose head is fitted to classes have a loss of guessing", async () => {
  const chanceOf = async (given: object): Promise<number | undefined> => {
    const prepared = await prepareFromFiles({ threads: 1, ...given } as never);
    await prepared.release();
    return prepared.fineTuning.training.chanceLoss;
  };
  const texts = { model, train, text: "message", label: "team" };
  expect(await chanceOf(texts)).toBeCloseTo(Math.log(3), 2);
  expect(await chanceOf({ ...texts, headStart: "new" })).toBeUndefined();

  const photos = join(home, "photos");
  for (let i = 0; i < 12; i++)
    await savePicture(join(photos, i % 2 ? "odd" : "even", `${i}.png`), madePicture(16, 16, i));
  expect(await chanceOf({ model: pictureModel("vit"), train: photos })).toBeUndefined();
});

test("of a large file, only a sample and the batches of the steps are encoded", async () => {
  const counts = new Map<string, number>();
  const rows = Array.from({ length: 51_000 }, (_, i) => ({
    message: `${i % 2 ? "card" : "parcel"} ${i}`,
    team: i % 2 ? "billing" : "delivery",
  }));
  const file = await writeCsv(join(home, "large.csv"), rows);
  const notes: string[] = [];
  const given = { maxSteps: 2, batchSize: 8, headFeatures: "mean", evaluateSamples: 100 };
  const prepared = await preparedWith(
    given,
    { file, validationSplit: 0.01, onNote: (note) => void notes.push(note) },
    counts,
  );
  expect(prepared.task.train.length).toBe(50_490);
  expect(notes).toContainEqual(expect.stringMatching(/^100 of the 510 validation examples are evaluated/));
  expect(prepared.notes.join()).toMatch(/20,000 of the 50,490 examples are enough to fit it/);
  const { length: sampled } = prepared.fineTuning.training.validation[0]!.examples;
  expect(sampled).toBe(100);
  const before = sumOf(counts);
  expect(before).toBeLessThan(20_000 + 2 * sampled);
  for await (const event of prepared.fineTuning.train(runtime)) {
    if (event.kind === "end") expect((await prepared.finish(event)).calibration).toBeDefined();
  }
  // The first example says whether examples of its kind are kept apart.
  expect(sumOf(counts)).toBe(before + 1 + 2 * 8);
});

const sumOf = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((sum, count) => sum + count, 0);

test.each([
  ["from the base model", false],
  ["from an adapter", true],
])("an estimate settles the options of a run %s as the run does", async (_, adapter) => {
  const given = { model, train, text: "message", label: "team", threads: 1 };
  const first = await prepareFromFiles(given);
  await first.release();
  const own = { ...given, ...(adapter && { adapter: join(home, "adapter") }) };
  if (adapter) await saveAdapter(join(home, "adapter"), await trained(first));

  const run = await prepareFromFiles(own);
  await run.release();
  let settled: FineTuningSettings | undefined;
  const sampled = await prepareFromFiles(own, {
    sample(task, settings) {
      settled = settings;
      return { task, settings: { epochs: 1 } };
    },
  });
  await sampled.release();
  const { headFeatures: _features, taskOptions: _options, ...settings } = run.settings;
  expect(settled).toMatchObject(settings);
  const { length } = await timeRun(own);
  expect(length).toMatchObject({ epochs: run.settings.epochs, batchSize: run.settings.batchSize });
});

/** The adapter of a run that has trained. */
async function trained(prepared: Awaited<ReturnType<typeof prepareFromFiles>>) {
  for await (const event of prepared.fineTuning.train(prepared.runtime, { stopAfter: 1 })) {
    if (event.kind === "end" && event.state.best) return (await prepared.finish(event)).adapter;
  }
  throw new Error("the run kept nothing");
}

test("encoding many texts gives way to other events, and so do a method's first values: a signal ends both", async () => {
  const stopping = (): AbortSignal => {
    const abort = new AbortController();
    setTimeout(() => abort.abort("stopped"));
    return abort.signal;
  };
  const [row] = tickets();
  const many = await writeCsv(
    join(home, "many.csv"),
    Array.from({ length: 3000 }, (_, i) => ({
      team: i % 2 ? "billing" : "bug",
      message: `${row!.message.repeat(9)} ${i}`,
    })),
  );
  const task = await loadTask(parseOptions({ train: many, text: "message", label: "team" }));
  const base = await loadBaseModel(model, task, 1);
  const settings = { maxLength: 128, taskOptions: {} };
  await expect(encodeTask(task, base, settings, { signal: stopping() })).rejects.toBe("stopped");

  const few = { ...task, train: task.train.slice(0, 8) };
  const { options, method } = partOptions(trainingOptions, "lora", { initLoraWeights: "pissa" });
  const encoded = await encodeTask(few, base, settings);
  const whole = withDefaults(options, findMethod(method.name));
  const plan = { task: few, base, encoded, method, settings: whole, runtime, initial: new Map(), notes: [] };
  await expect(methodStart.run(plan, { signal: AbortSignal.abort("stopped") })).rejects.toBe("stopped");
});
