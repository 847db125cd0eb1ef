import { Command } from "commander";
import { generationOptions } from "../../inference/generation/generation-options.ts";
import type { RunEvaluation } from "../../runs/evaluate-run.ts";
import { evaluateRun } from "../../runs/evaluate-run.ts";
import { askingOptions } from "../../runs/run-config.ts";
import { baseOptions, noteBaseFormat } from "../base-flags.ts";
import { addExamples } from "../help.ts";
import { addSchemaOptions, givenOptions } from "../schema-options.ts";
import { comparedTable, counted, metrics, table } from "../terminal/format.ts";
import { ProgressLine } from "../terminal/progress-line.ts";
import { writingOptions } from "../writing-options.ts";
import { asksForSearch, evaluateOnCorpus } from "./evaluate-search.ts";

const EXAMPLES = [
  "aflora evaluate --run runs/tickets",
  "aflora evaluate --run runs/tickets --validation new.csv --json",
  "aflora evaluate --run runs/gsm8k --validation gsm8k/test.jsonl --generate 100 --num-beams 4",
  "aflora evaluate --run runs/search --corpus corpus.jsonl --queries queries.jsonl --qrels qrels.tsv",
];

/** `aflora evaluate` */
export function evaluateCommand(): Command {
  const command = new Command("evaluate")
    .requiredOption("--run <dir>", "run folder")
    .option("--data <dir>", "folder with the GLUE task's files (the run's own where absent)")
    .option("--validation <file>", "examples: CSV, TSV or JSONL file (the run's own validation data where absent)")
    .option("--own-splits", "the data's own validation examples, where the run held out others of its training data")
    .option("--text <column>", "column of the text")
    .option("--text-pair <column>", "column of the second text of a pair")
    .option("--label <column>", "column of the label")
    .option("--generate <n>", "of a model that writes: answer so many examples too, and score the answers", Number)
    .option(
      "--corpus <file>",
      "texts to search, with --queries and --qrels, in BEIR's layout: of embeddings and rerankers",
    )
    .option("--queries <file>", "queries: _id and text")
    .option("--qrels <file>", "which text answers which query: query-id, corpus-id, score")
    .option("--dimensions <n>", "with --corpus: cut embeddings to this size", Number)
    .option("--output <file>", "with --corpus: an HTML page of scores and of queries that gained and lost")
    .option("--json", "as JSON, answers among it");
  addSchemaOptions(command, generationOptions, "Answers of a model that writes");
  addSchemaOptions(command, askingOptions, "Options");
  return addExamples(command, EXAMPLES).action(async () => {
    const { run, json, ...given } = givenOptions(command);
    if (asksForSearch(given)) {
      await evaluateOnCorpus(run as string, given, json === true);
      return;
    }
    const answers = writingOptions(given);
    let progress: ProgressLine | undefined;
    const evaluations = await evaluateRun(run as string, {
      ...given,
      base: baseOptions(given).base,
      answers,
      onDone(done, of) {
        progress?.at(done, { of });
        if (done < of) return;
        progress?.end();
        // Answers are written when all is read, and slower.
        progress = new ProgressLine("examples");
      },
      onAnswer: (done, of) => progress?.at(done, { of }),
      onBase(base) {
        noteBaseFormat(base, given);
        progress = new ProgressLine("examples");
      },
    }).finally(() => progress?.end());
    process.stdout.write(
      json ? `${JSON.stringify(evaluations, null, 2)}\n` : `${evaluations.map(describe).join("\n\n")}\n`,
    );
  });
}

function describe({
  split,
  examples,
  metrics: values,
  beside = {},
  labels,
  confusion,
  answers,
}: RunEvaluation): string {
  const scored = answers ? `, ${counted(answers.length, "answer")} scored` : "";
  const others = Object.keys(beside);
  const measured = others.length > 0 ? comparedTable({ "fine-tuned": values, ...beside }) : metrics(values);
  const lines = [`${split}: ${counted(examples, "example")}${scored}`, measured];
  if (confusion) {
    const rows = confusion.map((row, i) => [labels[i]!, ...row.map(String)]);
    lines.push("", "rows: true label, columns: predicted", table([["", ...labels], ...rows]));
  }
  return lines.join("\n");
}
