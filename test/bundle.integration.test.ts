import { execFile } from "node:child_process";
import { statSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build as esbuild } from "esbuild";
import { build as vite } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exportRun } from "../src/runs/export-run.ts";
import { fineTune } from "./support/fine-tune.ts";
import { tickets, writeCsv, writeTinyModel } from "./support/tiny-model.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** What a bundle needs beside it. */
const NATIVE = ["onnxruntime-node", "onnxruntime-common"];

const PREDICTS = `
  import { loadFineTunedModel, UserError } from "aflora/predict";
  async function main() {
    const model = await loadFineTunedModel(process.argv[2], { threads: 1 });
    const { label } = await model.predict("where is my order");
    await model.release();
    const error = await loadFineTunedModel("nowhere").catch((error) => error);
    console.log(JSON.stringify({ label, isUserError: error instanceof UserError }));
  }
  main();
`;
/** Trains, predicts, and embeds with the bundled model. */
const TRAINS = `
  import { fineTune, loadEmbedder, loadFineTunedModel } from "aflora";
  async function main() {
    const options = { train: "tickets.csv", text: "message", label: "team", epochs: 1, method: "lora", threads: 1 };
    const { directory } = await fineTune({ ...options, model: process.argv[2], output: "run" }, { overwrite: true });
    const model = await loadFineTunedModel(directory, { threads: 1 });
    const { label } = await model.predict("where is my order");
    await model.release();
    const embedder = await loadEmbedder(undefined, { threads: 1 });
    const [vector] = await embedder.embed(["where is my order"]);
    await embedder.release();
    console.log(JSON.stringify({ label, dimensions: vector.length }));
  }
  main();
`;

/** A function of a host that gives events, as AWS Lambda does; docs/deploy.md has the same. */
const HANDLER = `
  import { loadFineTunedModel } from "aflora/predict";
  const model = loadFineTunedModel("tickets-onnx/onnx/model_quantized.onnx");
  export async function handler(event) {
    const { label } = await (await model).predict(event.body);
    return { statusCode: 200, body: JSON.stringify({ label }) };
  }
`;

let home: string;
let model: string;
let run: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-bundle-"));
  model = await writeTinyModel(join(home, "model"));
  await mkdir(join(home, "app/node_modules"), { recursive: true });
  await symlink(ROOT, join(home, "app/node_modules/aflora"));
  await writeFile(join(home, "app/predicts.mjs"), PREDICTS);
  await writeFile(join(home, "app/trains.mjs"), TRAINS);
  await writeFile(join(home, "app/handler.mjs"), HANDLER);
  await mkdir(join(home, "elsewhere/node_modules"), { recursive: true });
  for (const name of NATIVE)
    await symlink(join(ROOT, "node_modules", name), join(home, "elsewhere/node_modules", name));
  const train = await writeCsv(join(home, "elsewhere/tickets.csv"), tickets());
  const options = { train, text: "message", label: "team", epochs: 1, method: "lora" } as const;
  ({ directory: run } = await fineTune({ ...options, model, output: join(home, "run") }));
});
afterAll(() => rm(home, { recursive: true }));

/** Runs a bundle in a folder that has only the native runtime. @returns what it prints, as JSON */
async function answerOf(bundle: string, argument: string): Promise<unknown> {
  const cwd = join(home, "elsewhere");
  const { stdout } = await promisify(execFile)(process.execPath, [bundle, argument], { cwd });
  return JSON.parse(stdout.trim().split("\n").at(-1)!);
}

/** Bundles a program as docs/deploy.md says. @returns the packages in the bundle */
async function withEsbuild(program: string, format: "esm" | "cjs", outfile: string): Promise<string[]> {
  const { metafile } = await esbuild({
    entryPoints: [join(home, "app", program)],
    ...{ bundle: true, platform: "node", format, external: ["onnxruntime-node"], outfile, logLevel: "error" },
    metafile: true,
  });
  const packages = Object.keys(metafile.inputs).map((path) => /node_modules\/((@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
  return [...new Set(packages)].filter((name) => name !== undefined);
}

/** Packages that users install only if they need them, and those for pages. */
const OPTIONAL = ["ioredis", "sharp", "onnxruntime-web"];
/** What only training, reports, servers and commands need. */
const NOT_FOR_PREDICTIONS = ["@observablehq/plot", "linkedom", "commander", "hono", "hyparquet", "jiti", "minisearch"];

describe.each(["esm", "cjs"] as const)("esbuild, %s", (format) => {
  const ending = format === "esm" ? "mjs" : "cjs";

  test("a program that predicts answers elsewhere", async () => {
    const bundle = join(home, `elsewhere/predicts.${ending}`);
    const packages = await withEsbuild("predicts.mjs", format, bundle);
    expect(packages.filter((name) => [...OPTIONAL, ...NOT_FOR_PREDICTIONS].includes(name))).toEqual([]);
    expect(await answerOf(bundle, run)).toEqual({ label: expect.any(String), isUserError: true });
  });

  test("a program that trains does so elsewhere, with the assets beside it", async () => {
    const bundle = join(home, `elsewhere/trains.${ending}`);
    const packages = await withEsbuild("trains.mjs", format, bundle);
    expect(packages.filter((name) => OPTIONAL.includes(name))).toEqual([]);
    await cp(join(ROOT, "assets/all-MiniLM-L6-v2"), join(home, "elsewhere/assets/all-MiniLM-L6-v2"), {
      recursive: true,
    });
    expect(await answerOf(bundle, model)).toEqual({ label: expect.any(String), dimensions: 384 });
  });
});

test("a serverless function with an exported folder and this system's native runtime alone answers, and fits into 250 MB", async () => {
  const folder = join(home, "function");
  const tickets = join(folder, "tickets-onnx");
  await exportRun(run, { format: "onnx", dtype: "q8", output: tickets }, { threads: 1 });
  await withEsbuild("handler.mjs", "esm", join(folder, "handler.mjs"));
  const own = join("napi-v6", process.platform, process.arch);
  for (const name of NATIVE) {
    await cp(join(ROOT, "node_modules", name), join(folder, "node_modules", name), {
      recursive: true,
      filter: (path) => !/napi-v6[\\/]\w+[\\/]\w+/.test(path) || path.includes(own),
    });
  }
  const sizes = (await readdir(folder, { recursive: true })).map((name) => statSync(join(folder, name)).size);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(250e6);

  const called =
    'import("./handler.mjs").then(({ handler }) => handler({ body: "where is my order" })).then(console.log)';
  const { stdout } = await promisify(execFile)(process.execPath, ["-e", called], { cwd: folder });
  expect(stdout).toMatch(/statusCode: 200,\s+body: '\{"label":"\w+"\}'/);
});

test("Vite's SSR build of a program that predicts answers elsewhere", async () => {
  const outDir = join(home, "elsewhere/ssr");
  await vite({
    ...{ configFile: false, root: join(home, "app"), logLevel: "error" },
    build: { ssr: "predicts.mjs", outDir },
    ssr: { noExternal: true, external: ["onnxruntime-node"] },
  });
  expect(await answerOf(join(outDir, "predicts.mjs"), run)).toEqual({ label: expect.any(String), isUserError: true });
});
