/**
 * How many answers at temperature 1.5 are valid by their JSON schema, by Ajv's judgement, for the 20 schemas of
 * test/fixtures/json-schemas.json; and what a token takes beside one that is held to nothing, in turns.
 *
 *     npm run bench:json-answers -- MODEL [ANSWERS_PER_SCHEMA [TOKENS [ROUNDS]]]
 */
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { JsonSchema } from "../src/inference/generation/constrained/schema-constraint.ts";
import { loadAskedModel } from "../src/inference/load-fine-tuned-model-node.ts";
import { runtimeFor } from "../src/runtime/runtime-for-node.ts";
import { refuse } from "./arguments.ts";

/** Answers that are written at once. */
const TOGETHER = 8;

const [name, perSchema = "50", most = "160", rounds = "5"] = process.argv.slice(2);
if (name === undefined) refuse("give a model: a folder, a GGUF file or owner/name");
const schemas: Record<string, JsonSchema> = JSON.parse(
  readFileSync(new URL("../test/fixtures/json-schemas.json", import.meta.url), "utf8"),
);
const ajv = new Ajv2020({ allowUnionTypes: true, strictTuples: false });
const model = await loadAskedModel({ model: name }, runtimeFor({}));
const options = { temperature: 1.5, maxNewTokens: Number(most) };
const promptOf = (schema: JsonSchema): string => `Write an example for this JSON schema: ${JSON.stringify(schema)}`;

/** Whether a text is JSON, and valid. */
function judge(text: string, valid: (value: unknown) => boolean): boolean {
  try {
    return valid(JSON.parse(text));
  } catch {
    return false;
  }
}

let [right, all] = [0, 0];
for (const [title, jsonSchema] of Object.entries(schemas)) {
  const valid = ajv.compile(jsonSchema as object);
  const wanted = Number(perSchema);
  const texts: string[] = [];
  let tokens = 0;
  for (let seed = 0; texts.length < wanted; seed++) {
    const copies = Math.min(TOGETHER, wanted - texts.length);
    const answers = await model.answers([promptOf(jsonSchema)], { ...options, jsonSchema, seed, copies });
    texts.push(...answers.map(({ text }) => text));
    tokens += answers.reduce((sum, { answerTokens }) => sum + answerTokens, 0);
  }
  const wrong = texts.filter((text) => !judge(text, valid));
  right += texts.length - wrong.length;
  all += texts.length;
  const different = new Set(texts).size;
  console.log(
    `${title}: ${texts.length - wrong.length} of ${texts.length} valid, ${different} different, ${(tokens / texts.length).toFixed(0)} tokens each`,
  );
  for (const text of wrong.slice(0, 2)) console.log(`  not: ${JSON.stringify(text)}`);
}
console.log(`in all: ${right} of ${all} valid`);

/** Seconds a token of an answer alone, its prompt left out. */
async function secondsPerToken(
  more: object,
  seed: number,
  prompt: string,
): Promise<{ seconds: number; tokens: number }> {
  const times: number[] = [];
  const onToken = (): number => times.push(performance.now());
  for await (const _ of model.answer(prompt, { ...options, ...more, seed, onToken }));
  return { seconds: (times.at(-1)! - times[0]!) / 1000, tokens: times.length - 1 };
}

const ratios: number[] = [];
for (let round = 0; round < Number(rounds); round++) {
  const sums = { held: { seconds: 0, tokens: 0 }, free: { seconds: 0, tokens: 0 } };
  for (const jsonSchema of Object.values(schemas)) {
    const prompt = promptOf(jsonSchema);
    const held = await secondsPerToken({ jsonSchema }, round, prompt);
    if (held.tokens < 2) continue;
    // As many tokens after the same prompt: what is read grows alike.
    const free = await secondsPerToken({ maxNewTokens: held.tokens + 1, minNewTokens: held.tokens + 1 }, round, prompt);
    for (const [sum, own] of [
      [sums.held, held],
      [sums.free, free],
    ] as const) {
      sum.seconds += own.seconds;
      sum.tokens += own.tokens;
    }
  }
  const [held, free] = [sums.held, sums.free].map(({ seconds, tokens }) => (1000 * seconds) / tokens) as [
    number,
    number,
  ];
  ratios.push(held / free);
  console.log(
    `round ${round + 1}: ${held.toFixed(1)} ms a token held to a schema, ${free.toFixed(1)} ms free: ratio ${(held / free).toFixed(3)}`,
  );
}
if (ratios.length > 0)
  console.log(
    `ratio: median ${ratios.toSorted((a, b) => a - b)[Math.floor(ratios.length / 2)]!.toFixed(3)}, from ${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)}`,
  );
await model.release();
