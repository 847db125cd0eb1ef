import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, sep } from "node:path";
import { env, pipeline } from "@huggingface/transformers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readParquet } from "../../src/datasets/parquet-node.ts";
import { readExamples } from "../../src/datasets/table-node.ts";
import { readInputs } from "../../src/datasets/texts-node.ts";
import { loadEmbedder } from "../../src/inference/load-embedder-node.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { loadSeveralModels } from "../../src/inference/load-several-models-node.ts";
import { readTextRows } from "../../src/labels/text-rows-node.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { exportRun } from "../../src/runs/export-run.ts";
import { prepareRunOfFiles } from "../../src/runs/run-of-files.ts";
import { dot, unitVector } from "../../src/tasks/vectors.ts";
import { afloraHere } from "../support/aflora.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { parquetFile } from "../support/parquet.ts";
import { madePicture, pictureModel, savePicture } from "../support/pictures.ts";
import { runtime } from "../support/runtime.ts";

let home: string;
let photos: string;
const COLOURS = { red: [200, 40, 40], green: [40, 180, 60], blue: [50, 60, 210] };

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "aflora-photos-"));
  photos = join(home, "photos");
  for (const [name, colour] of Object.entries(COLOURS)) {
    for (let i = 0; i < 10; i++) {
      // Of many sizes, lighter and darker, with stripes.
      const [height, width] = [12 + i, 25 - i];
      const data = new Uint8Array(height * width * 3);
      for (let at = 0; at < data.length; at++) data[at] = colour[at % 3]! + ((at * (i + 3)) % 40) - 2 * i;
      await savePicture(join(photos, name, i % 2 ? "more" : "", `${i}.${i % 3 ? "png" : "jpg"}`), {
        height,
        width,
        data,
      });
    }
  }
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

const run = (name: string, given: Record<string, unknown>, options = {}) =>
  fineTune(
    { model: pictureModel("vit"), train: photos, threads: 1, batchSize: 4, output: join(home, name), ...given },
    options,
  );

test("a folder per class trains a model that predicts by paths, and evaluates", async () => {
  const notes: string[] = [];
  const { result, directory } = await run(
    "head",
    { method: "head" },
    { onEvent: on("start", (start: { notes: readonly string[] }) => notes.push(...start.notes)) },
  );
  expect(result!.metrics.accuracy).toBe(1);
  expect(notes.join()).toMatch(/the head starts fitted to the model's .*accuracy 1\.000 on 27 training examples/);
  const [found] = await evaluateRun(directory);
  expect(found).toMatchObject({ examples: 3, labels: ["blue", "green", "red"], metrics: result!.metrics });
  const model = await loadFineTunedModel(directory, runtime);
  const paths = [join(photos, "green", "0.jpg"), join(photos, "red", "more", "1.png")];
  const said = await model.predict(paths);
  expect(said.map(({ label }) => label)).toEqual(["green", "red"]);
  expect(said[0]!.labels!.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 5);
  await expect(model.predict([["a", "b"]])).rejects.toThrow("single pictures");
  await expect(model.predict("none.png")).rejects.toThrow("there is no picture none.png");
  await expect(model.predict(photos)).rejects.toThrow("is a folder, not a picture; aflora predict takes folders");
  await model.release();
  await expect(loadSeveralModels({ runs: [directory] }, {}, runtime)).rejects.toThrow('"head" reads pictures');
  // A table with labels is asked about as one without.
  const asked = join(home, "asked.csv");
  writeFileSync(asked, "image,label\nphotos/red/0.jpg,red\n");
  expect(await readExamples(asked, {}, "image-classification", [])).toMatchObject([
    { text: join(photos, "red", "0.jpg") },
  ]);
  const added = join(photos, "red", "added.png");
  await savePicture(added, madePicture(16, 16, 2));
  await expect(evaluateRun(directory)).rejects.toThrow(`${added} was not there when the run began`);
  rmSync(added);
});

test("a convolutional network trains its head or all weights; it has no layers for an adapter", async () => {
  const model = pictureModel("convolutional");
  const { result, directory } = await run("maps", { model, method: "head" });
  expect(result!.metrics.accuracy).toBeGreaterThan(0.5);
  const output = join(home, "maps-onnx");
  expect((await exportRun(directory, { format: "onnx", output })).largestDifference).toBeLessThan(1e-5);
  const losses: number[] = [];
  const onEvent = on("step", ({ loss }: { loss: number }) => losses.push(loss));
  await run("maps-whole", { model, method: "full", headStart: "new", epochs: 4, learningRate: 0.01 }, { onEvent });
  expect(losses.at(-1)).toBeLessThan(losses[0]!);
  await expect(run("maps-adapter", { model })).rejects.toThrow("no linear layers that could be adapted");
});

test("an adapter on an int8 base trains on the paths of a CSV file, and resumes to the bit", async () => {
  const rows = Object.keys(COLOURS).flatMap((name) =>
    [0, 2, 4, 6, 8].map((i) => `photos/${name}/${i}.${i % 3 ? "png" : "jpg"},${name}`),
  );
  const train = join(home, "photos.csv");
  writeFileSync(train, ["path,label", ...rows, ""].join("\n"));
  const given = {
    train,
    kind: "image-classification",
    method: "lora",
    base: "int8",
    epochs: 2,
    freezeBlocks: "linear",
    headStart: "new",
    learningRate: 0.01,
  };
  const losses: number[] = [];
  const onEvent = on("step", ({ loss }: { loss: number }) => losses.push(loss));
  const { result, directory } = await run("whole", given, { onEvent });
  expect(losses.at(-1)).toBeLessThan(losses[0]!);
  expect(result!.trainable.start).toBeGreaterThan(0);
  const abort = new AbortController();
  await run("cut", given, {
    signal: abort.signal,
    onEvent: on("step", ({ step }: { step: number }) => step === 5 && abort.abort()),
  });
  const again = await fineTune({ output: join(home, "cut") }, { resume: true });
  expect(again.result!.metrics).toEqual(result!.metrics);
  await expectPipeline(directory);
  const [one, other] = await Promise.all([directory, join(home, "cut")].map((each) => evaluateRun(each)));
  expect(one).toEqual(other);
});

test("a parquet file with pictures trains as the same pictures in files do, and resumes to the bit", async () => {
  const train = join(home, "held.parquet");
  cpSync(parquetFile("pictures"), train);
  const { rows } = await readParquet(train, [train]);
  const held = rows.map(({ cells }, i) => ({ ...(cells.at(0) as { bytes: Uint8Array }), name: `held/${i}.png` }));
  mkdirSync(join(home, "held"));
  for (const { name, bytes } of held) writeFileSync(join(home, name), bytes);
  const table = join(home, "held.csv");
  // Numbers, since names are sorted, and the data set's classes are in its own order.
  writeFileSync(table, ["image,label", ...held.map(({ name }, i) => `${name},${i % 2}`), ""].join("\n"));

  const given = { method: "head", headStart: "new", epochs: 3, learningRate: 0.01 };
  const lossesOf = async (name: string, data: Record<string, string>) => {
    const losses: number[] = [];
    const onEvent = on("step", ({ loss }: { loss: number }) => losses.push(loss));
    return { ...(await run(name, { ...given, ...data }, { onEvent })), losses };
  };
  const { losses, result, directory } = await lossesOf("held", { train, validation: train });
  expect(losses).toHaveLength(9);
  expect(losses).toEqual((await lossesOf("held-files", { train: table, validation: table })).losses);
  const [found] = await evaluateRun(directory);
  expect(found).toMatchObject({ examples: 12, labels: ["rows", "columns"], metrics: result!.metrics });

  const { stdout } = await afloraHere(["predict", "--run", directory, "--file", train], home);
  const model = await loadFineTunedModel(directory, runtime);
  const files = await model.predict(held.map(({ name }) => join(home, name)));
  await expect(readInputs(train, undefined, model.kind)).rejects.toThrow("holds its pictures itself; save them");
  await expect(model.predict({ text: "row 3", bytes: Uint8Array.of(1, 2) })).rejects.toThrow("row 3 is not a picture");
  await model.release();
  const said = stdout
    .trim()
    .split("\n")
    .map((line) => line.split("\t"));
  expect(said.map(([label]) => label!.split(" ")[0])).toEqual(files.map(({ label }) => label));
  expect(said[0]![1]).toBe(`${train}, line 1 (0.png)`);
  expect(said[11]![1]).toBe(`${train}, line 12`);

  const abort = new AbortController();
  const stop = on("step", ({ step }: { step: number }) => step === 5 && abort.abort());
  await run("held-cut", { ...given, train, validation: train }, { signal: abort.signal, onEvent: stop });
  const again = await fineTune({ output: join(home, "held-cut") }, { resume: true });
  expect(again.result!.metrics).toEqual(result!.metrics);
  cpSync(parquetFile("paths"), train);
  await expect(evaluateRun(directory)).rejects.toThrow(`${train} is not the data that the run in`);
});

/** A run's model as an ONNX folder says in Transformers.js what it says here. */
async function expectPipeline(directory: string): Promise<void> {
  const output = join(home, "exported");
  const { largestDifference } = await exportRun(directory, { format: "onnx", output });
  const peft = await exportRun(directory, { format: "peft", output: join(home, "peft") });
  const readme = readFileSync(join(home, "peft", "README.md"), "utf8");
  expect(readme).toContain('logits = hidden.mean(1) @ head["linear.weight"].T + head["linear.bias"]');
  expect(readme).not.toMatch(/text|sentence/i);
  await expect(exportRun(directory, { format: "gguf", output: join(home, "gguf") })).rejects.toThrow(
    'not vit; use option "format" onnx',
  );
  for (const each of [largestDifference, peft.largestDifference]) expect(each).toBeLessThan(1e-4);
  // Of the size that the model reads: Transformers.js resizes otherwise than Pillow.
  const path = join(home, "same-size.png");
  await savePicture(path, madePicture(16, 16, 2));
  const model = await loadFineTunedModel(directory, runtime);
  const own = await model.predict(path);
  await model.release();
  env.localModelPath = home;
  env.allowRemoteModels = false;
  const classify = await pipeline("image-classification", "exported", { dtype: "fp32" });
  const said = await classify(path, { top_k: 3 });
  expect(said.map(({ label }) => label)).toEqual(own.labels!.map(({ label }) => label));
  said.forEach(({ score }, i) => {
    expect(score).toBeCloseTo(own.labels![i]!.probability, 3);
  });
  await classify.dispose();
}

test("a folder per class trains vectors of pictures for searching pictures", async () => {
  const kind = "image-embedding";
  const { result, directory } = await run("vectors", { kind, method: "lora", epochs: 3, learningRate: 0.01 });
  const [found] = await evaluateRun(directory);
  expect(found).toMatchObject({ examples: 3, metrics: result!.metrics });
  expect(Object.keys(found!.beside!)).toEqual(["before training"]);
  const model = await loadFineTunedModel(directory, runtime);
  const paths = await readInputs(photos, undefined, model.kind);
  expect(paths).toHaveLength(30);
  const vectors = await model.embed(paths);
  await expect(model.embed([[1, 2]])).rejects.toThrow("is not a token id");
  await model.release();
  const tuned = gapOf(paths, vectors);
  const table = join(home, "searched.csv");
  writeFileSync(table, "file\nphotos/red/0.jpg\n");
  expect(await readInputs(table, undefined, model.kind)).toEqual([join(photos, "red", "0.jpg")]);

  const asItIs = await loadEmbedder(pictureModel("vit"), runtime);
  expect(asItIs.kind.name).toBe(kind);
  expect(tuned).toBeGreaterThan(gapOf(paths, await asItIs.embed(paths)));
  await asItIs.release();
  const query = join(photos, "red", "0.jpg");
  const { stdout } = await afloraHere(["search", "--run", directory, "--corpus", photos, "--top", "3", query], home);
  expect(stdout.split("\n")[0]).toBe(`1.0000\t${query}`);

  const output = join(home, "vectors-onnx");
  expect((await exportRun(directory, { format: "onnx", output })).largestDifference).toBeLessThan(1e-4);
  expect(readFileSync(join(output, "README.md"), "utf8")).toContain('embed("picture.jpg", { pool: true })');
  const same = join(home, "same.png");
  await savePicture(same, madePicture(16, 16, 2));
  const again = await loadFineTunedModel(directory, runtime);
  const [own] = await again.embed([same]);
  await again.release();
  env.localModelPath = home;
  env.allowRemoteModels = false;
  const embed = await pipeline("image-feature-extraction", "vectors-onnx", { dtype: "fp32" });
  const said = await embed(same, { pool: true });
  expect(said.dims).toEqual([1, 16]);
  (said.data as Float32Array).forEach((value, i) => {
    expect(value).toBeCloseTo(own![i]!, 3);
  });
  await embed.dispose();
});

/** By how much the mean cosine of pictures of a class, which their folder says, exceeds that of others. */
function gapOf(paths: readonly string[], vectors: readonly Float32Array[]): number {
  const units = vectors.map((vector) => unitVector(vector));
  const classes = paths.map((path) => path.slice(photos.length).split(sep)[1]!);
  const meanOf = (alike: boolean): number => {
    const pairs = units.flatMap((unit, i) =>
      units.slice(i + 1).flatMap((other, j) => ((classes[i] === classes[i + 1 + j]) === alike ? dot(unit, other) : [])),
    );
    return pairs.reduce((sum, cosine) => sum + cosine, 0) / pairs.length;
  };
  return meanOf(true) - meanOf(false);
}

test("incompatible options are refused in a sentence", async () => {
  const text = join(home, "texts.csv");
  writeFileSync(text, `text,label\n${Array.from({ length: 20 }, (_, i) => `text ${i},${"xy"[i % 2]}\n`).join("")}`);
  await expect(run("texts", { train: text })).rejects.toThrow('"classification" is for models that read texts');
  await expect(run("words", { model: undefined })).rejects.toThrow(
    '"image-classification" is for models that read pictures',
  );
  const start = { model: pictureModel("vit"), train: photos, localSteps: 2 };
  await expect(prepareRunOfFiles(start, { isShared: true })).rejects.toThrow(
    'leave option "queue" out to train on pictures',
  );
  const other = join(home, "other");
  await savePicture(join(other, "gren", "1.png"), madePicture(9, 9, 1));
  await expect(run("one", { train: other })).rejects.toThrow('has one folder of pictures only, "gren"');
  await expect(run("other", { validation: other })).rejects.toThrow(
    /gren is not a class of the task, whose classes are blue, green, red; did you mean "green"\?$/,
  );
  await expect(readTextRows(photos)).rejects.toThrow(`${photos} is a folder, but a file of texts is needed`);
  await expect(run("none", { train: pictureModel("vit") })).rejects.toThrow(
    "has no folders of pictures or sounds, one for each class",
  );
  const silent = join(home, "silent");
  cpSync(pictureModel("vit"), silent, { recursive: true });
  rmSync(join(silent, "preprocessor_config.json"));
  await expect(run("silent", { model: silent })).rejects.toThrow("has no preprocessor_config.json");
});
