/**
 * Megabytes to deploy and cold start of a fine-tuned classifier over the bundled encoder: seconds from the start of a process to its first
 * answer, medians, the ways in turn. Trains for a moment first, and exports the run in 8 bits.
 *
 *     npm run build && npm run bench:deploy -- [ROUNDS]
 */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { exportRun, fineTune } from "../src/index.ts";
import { median } from "../src/studies/statistics.ts";

const rounds = Number(process.argv[2] ?? 5);
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const TEXT = "a film that keeps its promises";

/** Bytes of a file, or of all files in a folder but those that `leave` names. */
function sizeOf(path: string, leave: (path: string) => boolean = () => false): number {
  if (leave(path)) return 0;
  const found = statSync(path);
  if (!found.isDirectory()) return found.size;
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name), leave), 0);
}

/** Binaries of other systems, which need not be deployed. */
const isForeign = (path: string): boolean => {
  const [, system] = /onnxruntime-node\/bin\/napi-v\d+\/(.+)$/.exec(path) ?? [];
  const own = `${process.platform}/${process.arch}`;
  return system !== undefined && !`${own}/`.startsWith(`${system}/`) && !system.startsWith(own);
};

/** Folders of packages and of all that they depend on. */
function packagesOf(names: readonly string[], found = new Set<string>()): Set<string> {
  for (const name of names) {
    const folder = join(ROOT, "node_modules", name);
    if (found.has(folder) || !existsSync(folder)) continue;
    found.add(folder);
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(
      readFileSync(join(folder, "package.json"), "utf8"),
    );
    packagesOf([...Object.keys(dependencies), ...Object.keys(optionalDependencies)], found);
  }
  return found;
}
const packageSize = (names: readonly string[]): number =>
  [...packagesOf(names)].reduce(
    (sum, folder) => sum + sizeOf(folder, (path) => isForeign(path) || /[/\\]node_modules$/.test(path)),
    0,
  );

async function measure(home: string): Promise<void> {
  const data = { train: join(ROOT, "assets/sst2/dev.tsv"), text: "sentence", label: "label", maxTrainSamples: 64 };
  const { directory: run } = await fineTune({ ...data, epochs: 1, output: join(home, "run") });
  const exported = join(home, "exported");
  await exportRun(run, { format: "onnx", dtype: "q8", output: exported });
  const q8 = "onnx/model_quantized.onnx";
  const model = sizeOf(exported, (path) => path.endsWith("model.onnx") || path.endsWith(".md"));
  const adapter = sizeOf(join(run, "adapter"));
  const base = sizeOf(join(ROOT, "assets/all-MiniLM-L6-v2"));

  const app = join(home, "app");
  mkdirSync(join(app, "node_modules/@huggingface"), { recursive: true });
  symlinkSync(ROOT, join(app, "node_modules/aflora"));
  symlinkSync(
    join(ROOT, "node_modules/@huggingface/transformers"),
    join(app, "node_modules/@huggingface/transformers"),
  );
  const elsewhere = join(home, "elsewhere");
  mkdirSync(join(elsewhere, "node_modules"), { recursive: true });
  for (const name of NATIVE) symlinkSync(join(ROOT, "node_modules", name), join(elsewhere, "node_modules", name));
  const wasm = "ort-wasm-simd-threaded.wasm";
  copyFileSync(join(ROOT, "node_modules/onnxruntime-web/dist", wasm), join(elsewhere, wasm));
  const write = (name: string, text: string): string => {
    writeFileSync(join(app, name), text);
    return join(app, name);
  };
  const bundled = async (name: string, text: string): Promise<string> => {
    const outfile = join(elsewhere, name);
    await build({
      ...{ entryPoints: [write(name, text)], outfile, bundle: true, minify: true, logLevel: "error" },
      ...{ platform: "node", format: "esm", external: ["onnxruntime-node"] },
    });
    return outfile;
  };
  const predict = await bundled("predict.mjs", loading("aflora/predict"));
  const web = await bundled("web.mjs", WEB);
  const nativeSize = packageSize(NATIVE);
  const whole = sizeOf(join(ROOT, "dist")) + packageSize(dependencies());
  const ways: Way[] = [
    {
      name: "aflora, installed; the run",
      program: write("whole.mjs", loading("aflora")),
      source: run,
      bytes: whole + adapter + base,
    },
    {
      name: "aflora/predict, bundled; the run",
      program: predict,
      source: run,
      bytes: nativeSize + sizeOf(predict) + adapter + base,
    },
    {
      name: "aflora/predict, bundled; exported, q8",
      program: predict,
      source: join(exported, q8),
      bytes: nativeSize + sizeOf(predict) + model,
    },
    {
      name: "aflora/predict/web, bundled, Wasm; exported, q8",
      program: web,
      source: exported,
      bytes: sizeOf(web) + sizeOf(join(elsewhere, wasm)) + model,
    },
    {
      name: "Transformers.js, installed; exported, q8",
      program: write("peer.mjs", PEER),
      source: exported,
      bytes: packageSize(["@huggingface/transformers"]) + model,
    },
  ];
  const env = { ...process.env, AFLORA_ASSETS: join(ROOT, "assets") };
  const seconds = new Map(ways.map(({ name }) => [name, [] as number[]]));
  // The first round reads files that later rounds find in memory.
  for (let round = -1; round < rounds; round++) {
    for (const { name, program, source } of ways) {
      const start = performance.now();
      const { status, stdout, stderr } = spawnSync(process.execPath, [program, source, TEXT], {
        encoding: "utf8",
        env,
      });
      if (status !== 0 || !/positive|negative|[01]/i.test(stdout)) throw new Error(`${name}: ${stdout} ${stderr}`);
      if (round >= 0) seconds.get(name)!.push((performance.now() - start) / 1000);
    }
  }
  for (const { name, bytes } of ways) {
    console.log(
      `${name}: ${(bytes / 1e6).toFixed(1)} MB, ${median(seconds.get(name)!).toFixed(2)} s to the first answer`,
    );
  }
}

/** A way to deploy the model. */
interface Way {
  name: string;
  program: string;
  source: string;
  bytes: number;
}

/** Packages of the native runtime, which no bundle holds. */
const NATIVE = ["onnxruntime-node", "onnxruntime-common"];

function dependencies(): string[] {
  return Object.keys(JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).dependencies);
}

function loading(entrance: string): string {
  return `
    import { loadFineTunedModel } from "${entrance}";
    const [source, text] = process.argv.slice(2);
    const model = await loadFineTunedModel(source);
    console.log((await model.predict(text)).label);
    await model.release();
  `;
}

const WEB = `
  import { readFileSync } from "node:fs";
  import { loadFineTunedModel, memoryFiles } from "aflora/predict/web";
  const [source, text] = process.argv.slice(2);
  const names = ["config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model_quantized.onnx"];
  const files = memoryFiles(source, Object.fromEntries(names.map((name) => [name, new Uint8Array(readFileSync(source + "/" + name))])));
  const wasm = readFileSync(new URL("ort-wasm-simd-threaded.wasm", import.meta.url));
  const model = await loadFineTunedModel(files, { wasm });
  console.log((await model.predict(text)).label);
`;

const PEER = `
  import { basename, dirname } from "node:path";
  import { env, pipeline } from "@huggingface/transformers";
  const [source, text] = process.argv.slice(2);
  env.localModelPath = dirname(source);
  env.allowRemoteModels = false;
  const classify = await pipeline("text-classification", basename(source), { dtype: "q8", device: "cpu" });
  console.log((await classify(text))[0].label);
  await classify.dispose();
`;

const home = mkdtempSync(join(tmpdir(), "aflora-deploy-"));
try {
  await measure(home);
} finally {
  rmSync(home, { recursive: true });
}
