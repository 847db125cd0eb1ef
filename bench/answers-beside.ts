/**
 * Whether answers are the same, token by token, with prompt look-up, with what prompts have in common read once, and beside others that come and
 * go (continuous batching) as alone without any of these. Prompts are documents cut to many lengths, of which half begin alike.
 *
 *     npm run bench:answers-beside -- MODEL.gguf DOCUMENTS.jsonl [FORMAT [PROMPTS]]
 *
 * DOCUMENTS is a file of DialogSum's with a `dialogue` in each line, FORMAT float32, q4_1, q4_0 or q8_0 (float32), PROMPTS their number (200).
 */
import { existsSync, readFileSync } from "node:fs";
import { ANSWER_FORMATS } from "../src/architectures/base-format.ts";
import { AnswerRows, type PromptRows } from "../src/inference/generation/answer-rows.ts";
import { promptRows } from "../src/inference/generation/generate-tokens.ts";
import { generationOptions } from "../src/inference/generation/generation-options.ts";
import { SharedWriter } from "../src/inference/generation/shared-writer.ts";
import type { TextReader } from "../src/inference/generation/text-reader.ts";
import { PARALLEL_ANSWERS } from "../src/inference/write-answers.ts";
import { writerWithLora } from "./answers-model.ts";
import { oneOf, refuse } from "./arguments.ts";

/** Tokens of an answer; those of the shortest prompt and of the longest; those that half of them begin with. */
const [NEW_TOKENS, SHORTEST, LONGEST, ALIKE] = [32, 16, 300, 24];

const [file = "", documents = "", given = "float32", count = "200"] = process.argv.slice(2);
for (const each of [file, documents]) if (!existsSync(each)) refuse(`there is no file "${each}"`);
const format = oneOf("format", given, ANSWER_FORMATS);

const { decoder, parameters, tokenizer } = await writerWithLora(file, format);
const texts = readFileSync(documents, "utf8").trim().split("\n").slice(0, Number(count));
const ids = texts.map((line) => tokenizer.idsOf(JSON.parse(line).dialogue));
const prompts = ids.map((own, i) => {
  const length = SHORTEST + ((i * 37) % (LONGEST - SHORTEST));
  return (i % 2 === 0 ? own : [...ids[0]!.slice(0, ALIKE), ...own]).slice(0, length);
});

/** What is asked, and the answers, which are there once it was written. */
function asked(): { asked: PromptRows[]; answers: number[][] } {
  const answers: number[][] = prompts.map(() => []);
  const options = { ...generationOptions.parse({ maxNewTokens: NEW_TOKENS }), eosTokenIds: [] };
  return {
    asked: promptRows(prompts, options, { take: ({ answer, token }) => answers[answer]!.push(token) }),
    answers,
  };
}

/** One prompt after the other. */
async function inTurn(readerFor: () => TextReader): Promise<number[][]> {
  const { asked: all, answers } = asked();
  for (const each of all) {
    const reader = readerFor();
    const rows = new AnswerRows(reader);
    await rows.begin([each]);
    while (rows.count > 0) await rows.step();
    reader.release();
  }
  return answers;
}

/** A reader that reads each prompt whole, and then token by token. @param alone as in `predict` of one text and `chat` */
function plainReader(alone: boolean): TextReader {
  // Without an adapter nothing is left to the next reader.
  const reader = decoder.reader(undefined, { alone });
  return {
    read: (more) => reader.read(more),
    keep: (kept) => reader.keep(kept),
    release: () => reader.release(),
  };
}

async function beside(): Promise<number[][]> {
  const { asked: all, answers } = asked();
  await new SharedWriter(decoder, parameters, PARALLEL_ANSWERS).write(all);
  return answers;
}

/** What answers are, and how they are written plainly with rows of the same kind. */
const ways = {
  [`${PARALLEL_ANSWERS} beside each other`]: [beside, false],
  "alone, with look-up and what the one before has read": [
    () => inTurn(() => decoder.reader(parameters, { alone: true })),
    true,
  ],
} as const;
for (const [name, [write, alone]] of Object.entries(ways)) {
  const found = await write();
  const plain = await inTurn(() => plainReader(alone));
  const same = found.filter((answer, i) => answer.join() === plain[i]!.join()).length;
  console.log(`${format}, ${name}: ${same} of ${prompts.length} answers of ${NEW_TOKENS} tokens are the same`);
}
await decoder.release();
