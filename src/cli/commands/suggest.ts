import { Command } from "commander";
import { BUNDLED_MODEL } from "../../base-models/bundled-model.ts";
import { refuseOutput, writeRows } from "../../datasets/write-rows-node.ts";
import { UserError } from "../../errors.ts";
import { loadEmbedder } from "../../inference/load-embedder-node.ts";
import { loadFineTunedModel } from "../../inference/load-fine-tuned-model-node.ts";
import { unitVectors } from "../../inference/retrieval/embed-texts.ts";
import { fitClassifier } from "../../labels/frozen-classifier.ts";
import { readLabelledTexts } from "../../labels/labelled-texts-node.ts";
import { doubtOf, suggestRows } from "../../labels/suggest-rows.ts";
import { readTextRows, type TextRows } from "../../labels/text-rows-node.ts";
import { runOptions } from "../../preparation/run-options-node.ts";
import type { DeviceName } from "../../runtime/device.ts";
import { runtimeFor } from "../../runtime/runtime-for-node.ts";
import type { Runtime } from "../../runtime/session.ts";
import { type LabelProbability, ranked } from "../../tasks/probabilities.ts";
import { inOneLine } from "../given-texts.ts";
import { addExamples } from "../help.ts";
import { addSchemaOptions, givenOptions, numberOption } from "../schema-options.ts";
import { downloadLine } from "../terminal/download-line.ts";
import { print } from "../terminal/print.ts";
import { ProgressLine, whileReading } from "../terminal/progress-line.ts";

const EXAMPLES = [
  "aflora suggest --pool rows.csv --text message --count 20 --output next.csv",
  "aflora suggest --train labelled.csv --pool rows.csv --text message --output next.csv",
  "aflora suggest --run runs/tickets --pool rows.csv --text message",
];

const NOTE = `Chooses rows that differ from each other and about which a model is uncertain: a run's model
(--run), or a linear head fitted to your labelled rows (--train). Without a model it chooses rows
that differ, so you can start without labels. Label the chosen rows, append them to the labelled
ones, and run the command again.`;

interface Given {
  pool: string;
  run?: string;
  train?: string;
  text?: string;
  label?: string;
  count?: number;
  output?: string;
  model?: string;
  device?: DeviceName;
  threads?: number;
  offline?: boolean;
}

/** `aflora suggest` */
export function suggestCommand(): Command {
  const command = new Command("suggest")
    .requiredOption("--pool <file>", "file of rows without labels: CSV, TSV, JSONL, parquet or TXT")
    .option("--run <dir>", "run folder of a classifier: chooses rows about which it is uncertain")
    .option("--train <file>", "file of labelled rows: fits a classifier to them, and does not suggest them again")
    .option("--text <column>", "column of the text in both files (default: text, or the only column)")
    .option("--label <column>", "column of the label in --train, and the empty column in --output (default: label)")
    .addOption(numberOption("--count <n>", "number of rows (default: 20)"))
    .option(
      "--output <file>",
      "file to write: the chosen rows with an empty column for the label, as CSV, JSONL or parquet",
    );
  addSchemaOptions(command, runOptions.pick({ model: true, device: true, threads: true, offline: true }), "Options");
  return addExamples(command, EXAMPLES, NOTE).action(async () => {
    const given = givenOptions<Given>(command);
    const { count = 20, output, label = "label" } = given;
    if (!Number.isInteger(count) || count < 1) throw new UserError("--count must be a whole number, at least 1");
    if (given.run !== undefined && given.model !== undefined) {
      throw new UserError("--run has a base model already; leave --model out");
    }
    const rows = await whileReading(given.pool, (onRead) => readTextRows(given.pool, given.text, onRead));
    if (output !== undefined) refuseOutput(rows.table, output, [label]);
    const labelled = given.train === undefined ? undefined : await readLabelledTexts(given.train, given);
    const candidates = candidatesOf(rows, new Set(labelled?.texts));
    const texts = candidates.map((row) => rows.texts[row]!);
    const found = await choose(texts, count, labelled, given);
    const chosen = found.map(({ place, guess }) => ({ row: candidates[place]!, guess }));
    if (output !== undefined) {
      await writeRows(
        output,
        rows.table,
        [label],
        chosen.map(({ row }) => [row, [""]]),
      );
    }
    for (const { row, guess } of chosen) {
      const says = guess ? `\t${guess.label} ${guess.probability.toFixed(3)}` : "";
      print(`line ${rows.table.rows.at(row)!.line}${says}\t${inOneLine(rows.texts[row]!)}\n`);
    }
  });
}

/** Rows with a text that has no label yet, each text once. @throws UserError if there are none */
function candidatesOf({ texts, table }: TextRows, met: Set<string>): number[] {
  const candidates = [...texts.keys()].filter((row) => {
    const isNew = texts[row]!.trim() !== "" && !met.has(texts[row]!);
    met.add(texts[row]!);
    return isNew;
  });
  if (candidates.length > 0) return candidates;
  throw new UserError(`${table.source} has no row with a text that is not labelled already; give another --pool`);
}

type Labelled = Awaited<ReturnType<typeof readLabelledTexts>>;

/** A model's likeliest label for a text, and its doubt about the text. */
interface Guess extends LabelProbability {
  doubt: number;
}

const guessOf = (labels: readonly LabelProbability[]): Guess => ({
  ...labels[0]!,
  doubt: doubtOf(labels.map(({ probability }) => probability)),
});

/** Chooses the rows to label, best first, with the model's guess if there is a model. */
async function choose(
  texts: readonly string[],
  count: number,
  labelled: Labelled | undefined,
  given: Given,
): Promise<{ place: number; guess: Guess | undefined }[]> {
  const ofRun = given.run === undefined ? undefined : await askRun(given.run, texts, given);
  const from = { offline: given.offline, onProgress: downloadLine() };
  const runtime = runtimeFor(given);
  const encoder = await loadEmbedder(ofRun?.model ?? given.model ?? BUNDLED_MODEL, runtime, from);
  try {
    const all = [...texts, ...(ofRun ? [] : (labelled?.texts ?? []))];
    const progress = new ProgressLine("computing vectors", "texts", all.length);
    const vectors = await unitVectors(encoder, all, { onProgress: (done) => progress.at(done) });
    progress.end();
    const pool = vectors.slice(0, texts.length);
    const guesses =
      ofRun?.guesses ?? (labelled && (await guessAll(pool, vectors.slice(texts.length), labelled, runtime)));
    const doubts = guesses?.map(({ doubt }) => doubt);
    return suggestRows(pool, count, doubts).map((place) => ({ place, guess: guesses?.[place] }));
  } finally {
    await encoder.release();
  }
}

async function guessAll(
  pool: readonly Float32Array[],
  taught: readonly Float32Array[],
  { labels, classes }: Labelled,
  runtime: Runtime,
): Promise<Guess[]> {
  const progress = new ProgressLine("fitting a classifier", "fits");
  const onFit = (done: number, of: number): void => progress.at(done, { of });
  const classifier = await fitClassifier(taught, classes, labels.length, runtime, onFit).finally(() => progress.end());
  return pool.map((vector) => guessOf(ranked(labels, classifier(vector))));
}

/** Predictions of a run's model for texts, and its base model. @throws UserError if the model does not classify */
async function askRun(
  run: string,
  texts: readonly string[],
  given: Given,
): Promise<{ model: string; guesses: Guess[] }> {
  const from = { offline: given.offline, onProgress: downloadLine() };
  const model = await loadFineTunedModel(run, runtimeFor(given), from);
  try {
    const { description } = model;
    const guesses: Guess[] = [];
    const progress = new ProgressLine("predicting", "texts", texts.length);
    try {
      for await (const output of model.predictEach(texts, { onDone: (done) => progress.at(done) })) {
        if (!("labels" in output)) {
          throw new UserError(
            `the run in ${run} is for ${model.kind.name}, which gives labels no probability; name a classifier's`,
          );
        }
        guesses.push(guessOf(output.labels));
      }
    } finally {
      progress.end();
    }
    const revision = description.revision === undefined ? "" : `@${description.revision}`;
    return { model: `${description.model}${revision}`, guesses };
  } finally {
    await model.release();
  }
}
