import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fineTune } from "./support/fine-tune.ts";
import { tickets, writeCsv, writeTinyModel } from "./support/tiny-model.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const [DIST, PACKAGES] = ["dist/", "node_modules/"].map((folder) => pathToFileURL(ROOT + folder).href) as [
  string,
  string,
];

let home: string;
let run: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-startup-"));
  const model = await writeTinyModel(join(home, "model"));
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  ({ directory: run } = await fineTune({
    ...{ model, train, text: "message", label: "team", epochs: 1, method: "lora" },
    output: join(home, "run"),
  }));
});
afterAll(() => rm(home, { recursive: true }));

/** The files of the built package, and the other packages, that a program loads. V8's coverage lists every script of a process. */
async function loadedBy(program: string): Promise<{ files: string[]; packages: Set<string> }> {
  const folder = await mkdtemp(join(home, "coverage-"));
  execFileSync(process.execPath, ["--input-type=module", "--eval", program], {
    cwd: ROOT,
    env: { ...process.env, NODE_V8_COVERAGE: folder },
  });
  const [report] = await readdir(folder);
  const { result } = JSON.parse(await readFile(join(folder, report!), "utf8")) as { result: { url: string }[] };
  const urls = result.map(({ url }) => url);
  const within = (place: string): string[] =>
    urls.filter((url) => url.startsWith(place)).map((url) => url.slice(place.length));
  const packages = within(PACKAGES).map((path) => /^(@[^/]+\/)?[^/]+/.exec(path)![0]);
  return { files: within(DIST), packages: new Set(packages) };
}

/** Rooms and files that only training, reports, servers or many runs need. */
const NOT_FOR_PREDICTIONS =
  /^(fine-tuning|runs|datasets|export|labels\/.*-node|studies|reports|serving|cli)\/|^training\/(loop\.js|step\.js|optimizer|dropout|local-steps|frozen-blocks|evaluation)/;

test('import "aflora" loads the runtime, and no code that reads models, trains, draws or serves', async () => {
  const { files, packages } = await loadedBy('import "aflora";');
  expect(files).toContain("index.js");
  expect(packages).toContain("onnxruntime-node");
  expect(files.filter((file) => NOT_FOR_PREDICTIONS.test(file))).toEqual([]);
  expect(files.filter((file) => /^(architectures|base-models|checkpoints|inputs|training)\//.test(file))).toEqual([
    "base-models/bundled-model.js",
  ]);
});

test('import "aflora/predict" loads neither ONNX Runtime nor another package', async () => {
  const { files, packages } = await loadedBy('import "aflora/predict";');
  expect(files.toSorted()).toEqual(["errors.js", "predict.js"]);
  expect([...packages]).toEqual([]);
});

test("a program that loads a model and predicts never loads code that trains, draws or serves", async () => {
  const { files, packages } = await loadedBy(`
    import { loadFineTunedModel } from "aflora/predict";
    const model = await loadFineTunedModel(${JSON.stringify(run)});
    const { label } = await model.predict("my card was charged twice");
    if (typeof label !== "string") throw new Error("no label");
    await model.release();
  `);
  expect(files).toContain("inference/fine-tuned-model.js");
  expect(files.filter((file) => NOT_FOR_PREDICTIONS.test(file))).toEqual([]);
  const unwanted = [
    "@observablehq/plot",
    "linkedom",
    "commander",
    "hono",
    "hyparquet",
    "minisearch",
    "@huggingface/hub",
  ];
  expect(unwanted.filter((name) => packages.has(name))).toEqual([]);
});
