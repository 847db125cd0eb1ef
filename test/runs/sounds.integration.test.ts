import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { env, pipeline } from "@huggingface/transformers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readParquet } from "../../src/datasets/parquet-node.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { loadSeveralModels } from "../../src/inference/load-several-models-node.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { exportRun } from "../../src/runs/export-run.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on, together } from "../support/on-event.ts";
import { parquetFile } from "../support/parquet.ts";
import { runtime } from "../support/runtime.ts";
import { soundModel, wavBytes } from "../support/sounds.ts";

let home: string;
let sounds: string;
const CLASSES = ["high", "low", "noise"] as const;

/** A tone or noise, of a length and a pitch that differ. */
function drawn(kind: (typeof CLASSES)[number], i: number): Int16Array {
  const period = (kind === "high" ? 6 : 60) + i;
  let state = i + 1;
  return Int16Array.from({ length: 700 + 60 * i }, (_, at) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return 9000 * (kind === "noise" ? (state >>> 8) / 2 ** 23 - 1 : Math.sin((2 * Math.PI * at) / period));
  });
}

const save = (path: string, bytes: Uint8Array): void => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
};

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "aflora-sounds-"));
  sounds = join(home, "sounds");
  for (const kind of CLASSES) {
    for (let i = 0; i < 10; i++) save(join(sounds, kind, i % 2 ? "more" : "", `${i}.wav`), wavBytes(drawn(kind, i)));
  }
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

const run = (name: string, given: Record<string, unknown>, options = {}) =>
  fineTune(
    { model: soundModel("wav2vec2"), train: sounds, threads: 1, batchSize: 4, output: join(home, name), ...given },
    options,
  );

test("a folder per class trains a model that predicts by paths, evaluates, and runs in Transformers.js", async () => {
  const { result, directory } = await run("head", { method: "head" });
  expect(result!.metrics.accuracy).toBeGreaterThan(0.6);
  const [found] = await evaluateRun(directory);
  expect(found).toMatchObject({ examples: 3, labels: CLASSES, metrics: result!.metrics });
  const model = await loadFineTunedModel(directory, runtime);
  expect(model.kind.name).toBe("audio-classification");
  // As long as the longest to train on, of 1,240 samples, which 31 tokens hold.
  expect(model.description.maxLength).toBe(31);
  const path = join(sounds, "low", "4.wav");
  const [own] = await model.predict([path, join(sounds, "noise", "more", "9.wav")]);
  await expect(model.predict("none.wav")).rejects.toThrow("there is no sound none.wav");
  await expect(model.predict(sounds)).rejects.toThrow("is a folder, not a sound");
  await model.release();
  await expect(loadSeveralModels({ runs: [directory] }, {}, runtime)).rejects.toThrow('"head" reads sounds');

  const output = join(home, "exported");
  const { largestDifference } = await exportRun(directory, { format: "onnx", output });
  expect(largestDifference).toBeLessThan(1e-5);
  env.localModelPath = home;
  env.allowRemoteModels = false;
  const classify = await pipeline("audio-classification", "exported", { dtype: "fp32" });
  const samples = Float32Array.from(drawn("low", 4), (sample) => sample / 32_768);
  const said = await classify(samples, { top_k: 3 });
  expect(said.map(({ label }) => label)).toEqual(own!.labels!.map(({ label }) => label));
  said.forEach(({ score }, i) => {
    expect(score).toBeCloseTo(own!.labels![i]!.probability, 4);
  });
  await classify.dispose();
});

test("an adapter on an int8 base trains on the paths of a CSV file, and resumes to the bit", async () => {
  const rows = CLASSES.flatMap((name) => [0, 2, 4, 6, 8].map((i) => `sounds/${name}/${i}.wav,${name}`));
  const train = join(home, "sounds.csv");
  writeFileSync(train, ["audio,label", ...rows, ""].join("\n"));
  const given = {
    train,
    method: "lora",
    base: "int8",
    epochs: 4,
    freezeBlocks: "linear",
    headStart: "new",
    learningRate: 0.01,
    maxLength: 20,
  };
  const losses: number[] = [];
  const notes: string[] = [];
  const step = on("step", ({ loss }: { loss: number }) => losses.push(loss));
  const start = on("start", (event: { notes: readonly string[] }) => notes.push(...event.notes));
  const { result, directory } = await run("whole", given, { onEvent: together(step, start) });
  const sumOf = (some: readonly number[]): number => some.reduce((sum, loss) => sum + loss, 0);
  expect(sumOf(losses.slice(-3))).toBeLessThan(sumOf(losses.slice(0, 3)));
  expect(notes.join()).toMatch(/\d+ of 12 training examples are longer than 20 tokens and are shortened to that/);
  const abort = new AbortController();
  await run("cut", given, {
    signal: abort.signal,
    onEvent: on("step", ({ step }: { step: number }) => step === 5 && abort.abort()),
  });
  const again = await fineTune({ output: join(home, "cut") }, { resume: true });
  expect(again.result!.metrics).toEqual(result!.metrics);
  const peft = await exportRun(directory, { format: "peft", output: join(home, "peft") });
  expect(peft.largestDifference).toBeLessThan(1e-4);
  const readme = readFileSync(join(home, "peft", "README.md"), "utf8");
  expect(readme).toContain("max_length=825");
  expect(readme).not.toMatch(/text|sentence|picture/i);
});

test("a parquet file with sounds trains as the same sounds in files do", async () => {
  const train = parquetFile("sounds");
  const { rows } = await readParquet(train, [train]);
  for (const { line, cells } of rows) {
    save(join(home, "held", `${line}.wav`), (cells.at(0) as { bytes: Uint8Array }).bytes);
  }
  const table = join(home, "held.csv");
  writeFileSync(table, ["audio,label", ...rows.map(({ line }) => `held/${line}.wav,${1 - (line % 2)}`), ""].join("\n"));
  const lossesOf = async (name: string, train: string) => {
    const losses: number[] = [];
    const onEvent = on("step", ({ loss }: { loss: number }) => losses.push(loss));
    const given = { train, method: "head", headStart: "new", epochs: 2 };
    return { ...(await run(name, given, { onEvent })), losses };
  };
  const { losses, result, directory } = await lossesOf("held", train);
  expect(losses.length).toBeGreaterThan(3);
  expect(losses).toEqual((await lossesOf("held-files", table)).losses);
  const [found] = await evaluateRun(directory, { validation: train });
  expect(found).toMatchObject({ examples: 12, labels: ["low", "high"] });
  expect(result!.metrics.accuracy).toBeDefined();
});

test("incompatible options are refused in a sentence", async () => {
  await expect(run("words", { model: undefined })).rejects.toThrow(
    '"audio-classification" is for models that read sounds',
  );
  await expect(run("kind", { kind: "image-classification" })).rejects.toThrow("has no folders of pictures");
  const silent = join(home, "silent");
  cpSync(soundModel("wav2vec2"), silent, { recursive: true });
  const settings = join(silent, "preprocessor_config.json");
  writeFileSync(settings, JSON.stringify({ feature_extractor_type: "WhisperFeatureExtractor" }));
  await expect(run("whisper", { model: silent })).rejects.toThrow(
    "is for the feature extractor WhisperFeatureExtractor",
  );
  rmSync(settings);
  await expect(run("silent", { model: silent })).rejects.toThrow("has no preprocessor_config.json");
});
