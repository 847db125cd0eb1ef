/**
 * Language models of random weights. SmolLM2-135M's shape beside PyTorch with peft: a training step of LoRA (r = 8) at 4 x 128
 * tokens, half of them labelled, and tokens written after a prompt, by transformers and llama.cpp too; every one in a process of
 * its own, all in turn. And whole steps of AFLoRA on shapes whose base fits into memory in fewer bits alone: forward, backward,
 * freezing and AdamW.
 *
 *     npm run bench:language-model -- PYTHON [ROUNDS]
 *     npm run bench:language-model -- --large LLaMA-7B|TinyLlama-1.1B
 *
 * PYTHON is an interpreter with oracle/requirements.txt installed, ROUNDS how often each goes (9). llama.cpp takes part where
 * AFLORA_NODE_LLAMA_CPP names the folder in which `npm install node-llama-cpp` was run, and AFLORA_SMOLLM2_GGUF the model's file.
 */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BASE_FORMATS } from "../src/architectures/base-format.ts";
import { oneOf, pythonOf, refuse } from "./arguments.ts";
import { Contestant, inTurn, ROUNDS, tableOf } from "./contestant.ts";
import { LARGE_SETTINGS, measureLarge } from "./large-step.ts";
import { CONFIGS } from "./random-model.ts";

const NAME = "SmolLM2-135M";
const [ROWS, LENGTH] = [4, 128];
const [PROMPT_TOKENS, NEW_TOKENS] = [64, 64];

const threads = String(availableParallelism());
const pathOf = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

const ours = (script: string, argsOf: (format: string) => string[]): Contestant[] =>
  BASE_FORMATS.map((format) => {
    const args = [...process.execArgv, pathOf(script), NAME, ...argsOf(format), threads];
    return new Contestant(`aflora, ${format}`, process.execPath, args);
  });

const theirs = (python: string, what: string, mode: string, sizes: readonly number[]): Contestant[] =>
  ["float32", "bfloat16"].map((precision) => {
    const shape = [JSON.stringify(CONFIGS[NAME]), ...sizes.map(String), threads];
    const script = pathOf("../oracle/language_model_speed.py");
    return new Contestant(`${what}, ${precision}`, python, [script, mode, ...shape, precision]);
  });

async function compareSteps(python: string, rounds: number): Promise<void> {
  const sizes = [ROWS, LENGTH];
  const own = ours("peer-step.ts", (format) => ["lora", format, ...sizes.map(String)]);
  const all = [...own, ...theirs(python, "PyTorch + peft", "step", sizes)];
  await inTurn(all, rounds);
  console.log(
    `\n${NAME}, a step of LoRA (r = 8), ${ROWS} x ${LENGTH} tokens, half of them labelled (${threads} threads, medians of ${rounds} rounds, ratios with their range)`,
  );
  console.log(tableOf(all, own, ROWS * LENGTH));
}

async function compareWriting(python: string, rounds: number): Promise<void> {
  const sizes = [PROMPT_TOKENS, NEW_TOKENS];
  const own = ours("peer-generation.ts", (format) => [format, ...sizes.map(String)]);
  const all = [...own, ...theirs(python, "transformers", "generate", sizes), ...llamaCpp(sizes)];
  await inTurn(all, rounds);
  console.log(
    `\n${NAME}, ${NEW_TOKENS} tokens written after ${PROMPT_TOKENS}, with an adapter, time of the prompt included (${threads} threads, medians of ${rounds} rounds)`,
  );
  console.log(tableOf(all, own, NEW_TOKENS));
}

function llamaCpp(sizes: readonly number[]): Contestant[] {
  const { AFLORA_NODE_LLAMA_CPP: folder, AFLORA_SMOLLM2_GGUF: file } = process.env;
  if (!folder || !file) {
    console.log(
      "\nllama.cpp is skipped: AFLORA_NODE_LLAMA_CPP and AFLORA_SMOLLM2_GGUF do not say where it and its model are",
    );
    return [];
  }
  const args = [pathOf("../oracle/llama_cpp_speed.mjs"), folder, file, ...sizes.map(String), threads];
  return [new Contestant("node-llama-cpp, Q4_1, no adapter", process.execPath, args)];
}

const { values, positionals } = parseArgs({ options: { large: { type: "string" } }, allowPositionals: true });
if (values.large !== undefined) {
  const names = Object.keys(LARGE_SETTINGS) as (keyof typeof LARGE_SETTINGS)[];
  await measureLarge(oneOf("model", values.large, names));
} else {
  const [given, rounds = String(ROUNDS)] = positionals;
  if (!/^[1-9]\d*$/.test(rounds)) refuse(`"${rounds}" is no number of rounds`);
  const python = pythonOf(given);
  await compareSteps(python, Number(rounds));
  await compareWriting(python, Number(rounds));
}
