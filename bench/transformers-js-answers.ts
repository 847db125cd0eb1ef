/**
 * Transformers.js' side of bench/answers.ts: answers to documents, once for each line on stdin. Answers with the seconds and the process's peak
 * memory in bytes.
 *
 *     tsx transformers-js-answers.ts MODE FOLDER DOCUMENTS.jsonl THREADS
 *
 * MODE is as in writing-modes.ts, FOLDER what `aflora export --format onnx --dtype q4` writes.
 */
import { readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { createInterface } from "node:readline";
import { AutoModelForCausalLM, AutoTokenizer, env, Tensor } from "@huggingface/transformers";
import { NEW_TOKENS, PROMPT_TOKENS, type WritingMode } from "./writing-modes.ts";

const [mode, folder, documents, threads] = process.argv.slice(2) as [WritingMode, string, string, string];
env.localModelPath = dirname(folder);
env.allowRemoteModels = false;
const name = basename(folder);
const session_options = { intraOpNumThreads: Number(threads), interOpNumThreads: 1 };
const tokenizer = await AutoTokenizer.from_pretrained(name);
const model = await AutoModelForCausalLM.from_pretrained(name, { dtype: "q4", device: "cpu", session_options });
const long = readFileSync(documents, "utf8")
  .trim()
  .split("\n")
  .map((line) => tokenizer.encode(JSON.parse(line).dialogue).slice(0, PROMPT_TOKENS))
  .filter(({ length }) => length === PROMPT_TOKENS);
const count = mode === "eight" ? 8 : 1;
const dims = [count, PROMPT_TOKENS];
const tokens = mode === "first" ? 1 : 1 + NEW_TOKENS;

let next = 0;
for await (const _ of createInterface({ input: process.stdin })) {
  const ids = Array.from({ length: count }, () => long[next++ % long.length]!).flat();
  let start = performance.now();
  let told = 0;
  // It is told the prompt, then each token.
  const streamer = {
    put() {
      told++;
      if (told === 2 && mode !== "first") start = performance.now();
    },
    end() {},
  };
  await model.generate({
    input_ids: new Tensor("int64", BigInt64Array.from(ids, BigInt), dims),
    attention_mask: new Tensor("int64", new BigInt64Array(ids.length).fill(1n), dims),
    max_new_tokens: tokens,
    min_new_tokens: tokens,
    do_sample: false,
    streamer,
  } as never);
  process.stdout.write(`${(performance.now() - start) / 1000} ${process.resourceUsage().maxRSS * 1024}\n`);
}
await model.dispose();
