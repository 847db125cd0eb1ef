/**
 * Answers of a language model from a GGUF file, with a LoRA adapter (r = 8) beside it: time to the first token, prompt tokens and written
 * tokens a second, alone and eight at once, and memory; beside llama.cpp with the same adapter, and transformers without one. Every one in a
 * process of its own, all in turn. Transformers.js answers from the folder that aflora exports in q4, the adapter merged.
 *
 *     npm run bench:answers -- PYTHON MODEL.gguf DOCUMENTS.jsonl [ROUNDS]
 *
 * PYTHON is an interpreter with transformers, torch and gguf installed, DOCUMENTS a file of DialogSum's with a `dialogue` in each line, ROUNDS
 * how often each goes (9). llama.cpp takes part where AFLORA_NODE_LLAMA_CPP names the folder in which `npm install node-llama-cpp` was run.
 */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import type { BaseFormat } from "../src/architectures/base-format.ts";
import { GGUF_ADAPTER, writeGgufFolder } from "../src/export/gguf/adapter-node.ts";
import { writeOnnxFolder } from "../src/export/onnx/folder.ts";
import { diskFolder } from "../src/export/output-folder-node.ts";
import { lora } from "../src/methods/lora.ts";
import { modelWithLora } from "./answers-model.ts";
import { pythonOf, refuse } from "./arguments.ts";
import { Contestant, inTurn, ROUNDS, tableOf } from "./contestant.ts";
import { MODES, NEW_TOKENS, PROMPT_TOKENS, type WritingMode } from "./writing-modes.ts";

const [python, model, documents, rounds = String(ROUNDS)] = process.argv.slice(2);
for (const file of [model, documents]) if (!file || !existsSync(file)) refuse(`there is no file "${file ?? ""}"`);
if (!/^[1-9]\d*$/.test(rounds)) refuse(`"${rounds}" is no number of rounds`);
const interpreter = pythonOf(python);
const threads = String(availableParallelism());
const pathOf = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const [file, texts] = [resolve(model!), resolve(documents!)];
const sizes = [String(PROMPT_TOKENS), String(NEW_TOKENS), threads];
const home = await mkdtemp(join(tmpdir(), "aflora-answers-"));

/** The same model with an adapter, described. */
async function described(format: BaseFormat) {
  const { base, ...adapter } = await modelWithLora(file, format);
  const task = { name: "answers", kind: "language-model", labels: [], metrics: [] };
  const { modelType, maxLength } = base.config;
  const options = { method: lora.name, methodOptions: lora.options.parse({}) };
  const description = { format: "aflora-adapter" as const, model: base.name, modelType, ...options, task, maxLength };
  return { base, adapter: { ...adapter, description } };
}

/** Writes the adapter as llama.cpp reads it, as `export --format gguf` does. */
async function writeAdapter(): Promise<void> {
  const { base, adapter } = await described("q4_1");
  await writeGgufFolder(home, base, adapter);
}

/** Writes the model as Transformers.js reads it, as `export --format onnx` does; an adapter that has learned nothing adds nothing to it. */
async function writeOnnx(): Promise<string> {
  const { base, adapter } = await described("float32");
  const folder = join(home, "onnx-model");
  await writeOnnxFolder(diskFolder(folder), base, adapter.description, base.weights, { quantization: "q4" });
  return folder;
}

/** Our side as a package is, in plain JavaScript: what reads TypeScript takes 100 MB of its own. */
async function bundle(): Promise<string> {
  const outDir = pathOf("../node_modules/.cache/aflora-bench");
  await build({ configFile: false, logLevel: "warn", build: { ssr: pathOf("peer-answers.ts"), outDir } });
  return join(outDir, "peer-answers.js");
}

function peersOf(mode: WritingMode): Contestant[] {
  const script = pathOf("../oracle/answers_speed.py");
  const js = [...process.execArgv, pathOf("transformers-js-answers.ts"), mode, onnx, texts, threads];
  const peers = [
    new Contestant("transformers, float32", interpreter, [script, mode, file, texts, ...sizes]),
    new Contestant("Transformers.js, q4", process.execPath, js),
  ];
  const folder = process.env.AFLORA_NODE_LLAMA_CPP;
  if (folder) {
    const args = [
      pathOf("../oracle/llama_cpp_answers.mjs"),
      folder,
      mode,
      file,
      join(home, GGUF_ADAPTER),
      texts,
      ...sizes,
    ];
    peers.push(new Contestant("node-llama-cpp, the file as it is, LoRA", process.execPath, args));
  }
  return peers;
}

if (!process.env.AFLORA_NODE_LLAMA_CPP)
  console.log("llama.cpp is skipped: AFLORA_NODE_LLAMA_CPP does not say where it is");
else await writeAdapter();
const onnx = await writeOnnx();
const answerer = await bundle();
for (const [mode, { what, tokens }] of Object.entries(MODES)) {
  const own = ["q4_1", "q8_0", "float32"].map((format) => {
    const args = [answerer, mode, format, file, texts, threads];
    return new Contestant(`aflora, ${format}, LoRA`, process.execPath, args);
  });
  const all = [...own, ...peersOf(mode as WritingMode)];
  await inTurn(all, Number(rounds));
  console.log(`\n${what} (${threads} threads, medians of ${rounds} rounds, ratios with their range)`);
  console.log(tableOf(all, own, tokens));
}
await rm(home, { recursive: true });
