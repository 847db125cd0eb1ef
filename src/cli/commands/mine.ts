import { Command } from "commander";
import { readExamples } from "../../datasets/table-node.ts";
import { readTexts } from "../../datasets/texts-node.ts";
import { UserError } from "../../errors.ts";
import { writeAtomically } from "../../files/atomic-file-node.ts";
import { loadFineTunedModel } from "../../inference/load-fine-tuned-model-node.ts";
import { unitVectors } from "../../inference/retrieval/embed-texts.ts";
import { MINE_DEFAULTS, type MinedPair, mineNegatives } from "../../inference/retrieval/mine.ts";
import { runOptions } from "../../preparation/run-options-node.ts";
import type { DeviceName } from "../../runtime/device.ts";
import { runtimeFor } from "../../runtime/runtime-for-node.ts";
import { namedColumns } from "../../tasks/rows.ts";
import { addExamples } from "../help.ts";
import { addSchemaOptions, givenOptions, numberOption } from "../schema-options.ts";
import { downloadLine } from "../terminal/download-line.ts";
import { counted } from "../terminal/format.ts";
import { print } from "../terminal/print.ts";
import { ProgressLine } from "../terminal/progress-line.ts";

const EXAMPLES = [
  "aflora mine --run runs/search --train pairs.jsonl --output hard.jsonl",
  "aflora mine --run runs/search --train pairs.jsonl --corpus faq.txt --range 5-100 --margin 0.05 --negatives 3 --output hard.jsonl",
];

interface Given {
  run: string;
  train: string;
  output: string;
  corpus?: string;
  text?: string;
  textPair?: string;
  range?: [number, number];
  margin?: number;
  negatives?: number;
  duplicate?: number;
  device?: DeviceName;
  threads?: number;
  offline?: boolean;
}

/** `aflora mine` */
export function mineCommand(): Command {
  const { range, margin, negatives, duplicate } = MINE_DEFAULTS;
  const command = new Command("mine")
    .requiredOption("--run <dir>", "run folder of an embedding model")
    .requiredOption("--train <file>", "file of pairs with anchor and positive")
    .requiredOption("--output <file>", "JSONL file to write")
    .option("--corpus <file>", "file of texts to search (default: the positives of the pairs)")
    .option("--text <column>", "column of the anchor")
    .option("--text-pair <column>", "column of the positive")
    .option(
      "--range <from-to>",
      `ranks to take negatives from, starting at 0 (default: ${range.join("-")})`,
      parseRange,
    )
    .addOption(
      numberOption(
        "--margin <n>",
        `minimum difference in cosine similarity between the positive and a negative (default: ${margin})`,
      ),
    )
    .addOption(numberOption("--negatives <n>", `limit on negatives per pair (default: ${negatives})`))
    .addOption(
      numberOption(
        "--duplicate <n>",
        `skip texts whose cosine similarity to the positive is this high (default: ${duplicate})`,
      ),
    );
  addSchemaOptions(command, runOptions.pick({ device: true, threads: true, offline: true }), "Options");
  return addExamples(command, EXAMPLES).action(async () => {
    const { run, train, output, corpus, text, textPair, device, threads, offline, ...given } =
      givenOptions<Given>(command);
    const options = { ...MINE_DEFAULTS, ...given };
    for (const [name, value] of Object.entries(options)) {
      if (Number.isNaN(value)) throw new UserError(`--${name} must be a number`);
    }
    if (!Number.isInteger(options.negatives) || options.negatives < 1) {
      throw new UserError("--negatives must be a whole number, at least 1");
    }
    if (!/\.jsonl$/i.test(output)) throw new UserError(`${output}: the pairs are written as JSONL; name a file.jsonl`);
    const model = await loadFineTunedModel(run, runtimeFor({ device, threads }), {
      offline,
      onProgress: downloadLine(),
    });
    try {
      const named = namedColumns({ text, textPair });
      const examples = await readExamples(train, named, model.kind.name, [], { labelled: true });
      const pairs = examples.map(({ text: anchor, texts = [], label }) => {
        if (label !== undefined || texts.length === 0)
          throw new UserError(`${train} holds no pairs of anchor and positive`);
        return { anchor, positive: texts[0]! };
      });
      const texts = [
        ...new Set(corpus === undefined ? pairs.map(({ positive }) => positive) : await readTexts(corpus)),
      ];
      const all = [...new Set([...texts, ...pairs.flatMap(({ anchor, positive }) => [anchor, positive])])];
      const progress = new ProgressLine("computing vectors", "texts", all.length);
      const found = await unitVectors(model, all, { onProgress: (done) => progress.at(done) });
      progress.end();
      const vectors = new Map(all.map((each, i) => [each, found[i]!]));
      const mined = mineNegatives(
        pairs.map((pair) => ({
          ...pair,
          anchorVector: vectors.get(pair.anchor)!,
          positiveVector: vectors.get(pair.positive)!,
        })),
        texts.map((each) => ({ text: each, vector: vectors.get(each)! })),
        options,
      );
      await writeAtomically(output, (file) => file.writeFile(mined.map(lineOf).join("")));
      const without = mined.filter((pair) => pair.negatives.length === 0).length;
      const total = mined.reduce((sum, pair) => sum + pair.negatives.length, 0);
      print(
        `${counted(total, "negative")} of ${counted(mined.length, "pair")}, ${without} of them without a negative: ${output}\n`,
      );
    } finally {
      await model.release();
    }
  });
}

function lineOf({ anchor, positive, negatives }: MinedPair): string {
  const columns = negatives.map((text, i) => [i === 0 ? "negative" : `negative_${i + 1}`, text] as const);
  return `${JSON.stringify({ anchor, positive, ...Object.fromEntries(columns) })}\n`;
}

function parseRange(text: string): [number, number] {
  const [, from, to] = /^(\d+)-(\d+)$/.exec(text)?.map(Number) ?? [];
  if (from === undefined || to === undefined || to <= from) {
    throw new UserError(`--range takes two ranks, such as 5-100, not "${text}"`);
  }
  return [from, to];
}
