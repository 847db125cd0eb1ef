import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadFineTunedModel } from "../../src/predict.ts";
import { exportRun } from "../../src/runs/export-run.ts";
import { fineTune } from "../support/fine-tune.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";
import { startSite } from "./site.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TEXTS = ["where is my order", "the app does not open again please help"];

/** Answers by models of each kind of source, one line each. */
const PROGRAM = `
  import { readFileSync } from "node:fs";
  import { loadFineTunedModel, memoryFiles, UserError } from "aflora/predict/web";
  const [home, site, texts] = process.argv.slice(2);
  const wasm = readFileSync(new URL("ort-wasm-simd-threaded.wasm", import.meta.url));
  const files = (folder, names) =>
    memoryFiles(folder, Object.fromEntries(names.map((name) => [name, new Uint8Array(readFileSync(home + "/" + folder + "/" + name))])));
  const configs = ["config.json", "tokenizer.json", "tokenizer_config.json"];
  const run = files("run", ["adapter/adapter.json", "adapter/adapter.safetensors"]);
  const model = files("model", ["config.json", "vocab.txt", "model.safetensors"]);
  const answers = {};
  const ask = async (name, from, options) => {
    const model = await loadFineTunedModel(from, { wasm, ...options });
    answers[name] = (await model.predict(JSON.parse(texts))).map(({ labels }) => labels);
    await model.release();
  };
  await ask("q8, bytes", files("exported", [...configs, "onnx/model_quantized.onnx"]));
  await ask("float32, address", site + "exported");
  await ask("q8, address", site + "exported/onnx/model_quantized.onnx");
  for (const base of ["float32", "int8", "int4"]) await ask(base, run, { model, base });
  answers.without = (await loadFineTunedModel(run).catch((error) => error instanceof UserError && error.message));
  console.log(JSON.stringify(answers));
`;

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-predict-web-"));
  const model = await writeTinyModel(join(home, "model"));
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  const options = { train, text: "message", label: "team", epochs: 2, learningRate: 1e-2 } as const;
  await fineTune({ ...options, model, method: "lora", output: join(home, "run") });
  await exportRun(join(home, "run"), { format: "onnx", dtype: "q8", output: join(home, "exported") }, { threads: 1 });

  await mkdir(join(home, "app/node_modules"), { recursive: true });
  await symlink(ROOT, join(home, "app/node_modules/aflora"));
  await writeFile(join(home, "app/program.mjs"), PROGRAM);
  await build({
    entryPoints: [join(home, "app/program.mjs")],
    ...{
      bundle: true,
      platform: "node",
      format: "esm",
      outfile: join(home, "elsewhere/program.mjs"),
      logLevel: "error",
    },
  });
  const wasm = "ort-wasm-simd-threaded.wasm";
  await copyFile(createRequire(import.meta.url).resolve(`onnxruntime-web/${wasm}`), join(home, "elsewhere", wasm));
});
afterAll(() => rm(home, { recursive: true }));

test("without a native file or a package beside it, a bundle answers from bytes and addresses like the run in Node", async () => {
  const inNode = async (path: string, base?: "int8" | "int4") => {
    const model = await loadFineTunedModel(join(home, path), { threads: 1 }, { base });
    const found = await model.predict(TEXTS);
    await model.release();
    return found.map(({ labels }) => labels!);
  };
  const [float32, q8] = [await inNode("run"), await inNode("exported/onnx/model_quantized.onnx")];
  const site = await startSite({ "": home });
  const program = join(home, "elsewhere/program.mjs");
  const { stdout } = await promisify(execFile)(process.execPath, [program, home, site.url, JSON.stringify(TEXTS)], {
    cwd: join(home, "elsewhere"),
  }).finally(() => site.close());
  const { without, ...answers } = JSON.parse(stdout) as Record<string, typeof q8> & { without: string };

  const close: Record<string, [expected: typeof q8, tolerance: number]> = {
    ...{ "q8, bytes": [q8, 1e-3], "float32, address": [float32, 1e-5], "q8, address": [q8, 1e-3] },
    ...{
      float32: [float32, 1e-5],
      int8: [await inNode("run", "int8"), 1e-3],
      int4: [await inNode("run", "int4"), 1e-3],
    },
  };
  expect(Object.keys(answers)).toEqual(Object.keys(close));
  for (const [name, [expected, tolerance]] of Object.entries(close)) {
    const apart = expected.flatMap((labels, i) =>
      labels.map(({ label, probability }) => {
        const own = answers[name]![i]!.find((each) => each.label === label)!;
        return Math.abs(own.probability - probability);
      }),
    );
    expect(Math.max(...apart), name).toBeLessThan(tolerance);
  }
  expect(without).toMatch(/^the adapter in run is for the base model .*; give that model's files as "model"/);
});
