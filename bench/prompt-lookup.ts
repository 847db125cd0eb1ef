/**
 * How much faster a fine-tuned language model writes with prompt look-up: greedy answers to the run's validation examples,
 * each written alone with it and without it in turns, from the first token on.
 *
 *     npm run bench:prompt-lookup -- RUN [FORMAT [ANSWERS [ROUNDS]]]
 *
 * FORMAT is float32, q4_1, q4_0 or q8_0 (float32), ANSWERS how many examples are answered (50), ROUNDS how often (3).
 */

import { ANSWER_FORMATS } from "../src/architectures/base-format.ts";
import { PromptLookup } from "../src/inference/generation/prompt-lookup.ts";
import { loadFineTunedModel } from "../src/inference/load-fine-tuned-model-node.ts";
import { splitsOf } from "../src/runs/evaluate-run.ts";
import { runtimeFor } from "../src/runtime/runtime-for-node.ts";
import { oneOf, refuse } from "./arguments.ts";

const [run, format = "float32", answers = "50", rounds = "3"] = process.argv.slice(2);
if (run === undefined) refuse("give the run folder of a language model");
const model = await loadFineTunedModel(run, runtimeFor({}), { base: oneOf("format", format, ANSWER_FORMATS) });
const [split] = await splitsOf(run, {}, model);
const prompts = split!.examples.slice(0, Number(answers)).map((example) => model.promptOf(example));

const { propose } = PromptLookup.prototype;
async function written(looksUp: boolean, prompt: (typeof prompts)[number]) {
  PromptLookup.prototype.propose = looksUp ? propose : () => [];
  let [text, first] = ["", Number.NaN];
  const onToken = (): void => {
    if (Number.isNaN(first)) first = performance.now();
  };
  for await (const piece of model.answer(prompt, { alone: true, maxNewTokens: 200, onToken })) text += piece;
  return { text, seconds: (performance.now() - first) / 1000 };
}

const ratios: number[] = [];
for (let round = 0; round < Number(rounds); round++) {
  const seconds = { with: 0, without: 0 };
  let same = 0;
  for (const [i, prompt] of prompts.entries()) {
    const texts: string[] = [];
    // Whichever comes second finds the prompt read.
    for (const looksUp of i % 2 === 0 ? [true, false] : [false, true]) {
      const { text, seconds: taken } = await written(looksUp, prompt);
      seconds[looksUp ? "with" : "without"] += taken;
      texts.push(text);
    }
    if (texts[0] === texts[1]) same++;
  }
  ratios.push(seconds.without / seconds.with);
  console.log(
    `round ${round + 1}: ${prompts.length} answers in ${seconds.with.toFixed(1)} s with look-up, ${seconds.without.toFixed(1)} s without; ${same} of ${prompts.length} have the same text`,
  );
}
const sorted = ratios.toSorted((a, b) => a - b);
console.log(
  `without / with: median ${sorted[Math.floor(sorted.length / 2)]!.toFixed(2)}, from ${sorted[0]!.toFixed(2)} to ${sorted.at(-1)!.toFixed(2)}`,
);
await model.release();
