import { Command } from "commander";
import { generationOptions } from "../../inference/generation/generation-options.ts";
import { askingOptions } from "../../preparation/run-options-node.ts";
import type { RunEvaluation } from "../../runs/evaluate-run.ts";
import { evaluateRun } from "../../runs/evaluate-run.ts";
import { type BaseFlags, baseOptions, noteBaseFormat } from "../base-flags.ts";
import { addExamples } from "../help.ts";
import { addSchemaOptions, givenOptions, numberOption } from "../schema-options.ts";
import { comparedTable, counted, integer, metrics, table } from "../terminal/format.ts";
import { print } from "../terminal/print.ts";
import { ProgressLine } from "../terminal/progress-line.ts";
import { writingOptions } from "../writing-options.ts";
import { refuseFindingsFile, writeFindings } from "./evaluate-findings.ts";
import { asksForSearch, type CorpusFiles, evaluateOnCorpus } from "./evaluate-search.ts";

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
    .option("--data <dir>", "folder with the files of the GLUE task (default: the run's)")
    .option("--validation <file>", "file of examples: CSV, TSV, JSONL or parquet (default: the run's validation data)")
    .option(
      "--own-splits",
      "use the data set's validation examples, even if the run held out training examples instead",
    )
    .option("--text <column>", "column of the text")
    .option("--text-pair <column>", "column of the second text of a pair")
    .option("--label <column>", "column of the label")
    .addOption(numberOption("--generate <n>", "language models: also write answers for n examples and score them"))
    .option(
      "--corpus <file>",
      "embedding models and rerankers: texts to search in BEIR's layout, with --queries and --qrels",
    )
    .option("--queries <file>", "file of queries with _id and text")
    .option("--qrels <file>", "file of relevant texts with query-id, corpus-id and score")
    .addOption(numberOption("--dimensions <n>", "with --corpus: truncate embeddings to this size"))
    .option(
      "--output <file>",
      "file to write: an HTML page with all mistakes and scores per class, or a CSV, JSONL or parquet file of the mistakes; with --corpus: an HTML page with scores and the queries that gained and lost most",
    )
    .option("--json", "print JSON, including the answers");
  addSchemaOptions(command, generationOptions, "Answers of language models");
  addSchemaOptions(command, askingOptions, "Options");
  return addExamples(command, EXAMPLES).action(async () => {
    const { run, json, output, ...given } = givenOptions<EvaluateOptions>(command);
    if (asksForSearch(given)) {
      await evaluateOnCorpus(run, { ...given, ...(output !== undefined && { output }) }, json === true);
      return;
    }
    if (output !== undefined) refuseFindingsFile(output);
    const answers = writingOptions(given);
    let progress = new ProgressLine("loading the model", "parts");
    const onDone = (done: number, of: number): void => progress.at(done, { of });
    const evaluations = await evaluateRun(run, {
      ...given,
      base: baseOptions(given).base,
      answers,
      onBase(base) {
        progress.end();
        noteBaseFormat(base, given);
      },
      onStage(stage) {
        progress.end();
        progress = new ProgressLine(stage, "examples");
      },
      onDone,
      onAnswer: onDone,
    }).finally(() => progress.end());
    print(json ? `${JSON.stringify(evaluations, null, 2)}\n` : `${evaluations.map(describe).join("\n\n")}\n`);
    if (output !== undefined) await writeFindings(output, run, evaluations);
  });
}

interface EvaluateOptions extends BaseFlags, Partial<CorpusFiles> {
  run: string;
  json?: boolean;
  output?: string;
}

/** Maximum number of classes whose confusion matrix fits into a terminal. */
const MATRIX = 10;

function describe({
  split,
  examples,
  trainedOn = false,
  metrics: values,
  errors = {},
  beside = {},
  labels,
  confusion,
  findings = [],
  answers,
}: RunEvaluation): string {
  const scored = answers ? `, ${counted(answers.length, "answer")} scored` : "";
  const others = Object.keys(beside);
  const known = Object.keys(errors).length > 0 && { "standard error": errors };
  const measured =
    others.length > 0 ? comparedTable({ "fine-tuned": values, ...known, ...beside }) : metrics(values, errors);
  const seen = trainedOn ? ", which the model was trained on at the end: use --validation with other examples" : "";
  const lines = [`${split}: ${counted(examples, "example")}${scored}${seen}`, measured];
  const [first] = findings;
  if (confusion && labels.length <= MATRIX) {
    const rows = confusion.map((row, i) => [labels[i]!, ...row.map(String)]);
    lines.push("", "rows: true label, columns: predicted", table([["", ...labels], ...rows]));
  } else if (first) {
    const { title, columns, rows, most = rows.length } = first;
    const more = rows.length > most ? `: ${most} of ${integer(rows.length)} (--output FILE writes all)` : "";
    lines.push("", `${title}${more}`, table([columns, ...rows.slice(0, most)].map((row) => row.map(String))));
  }
  return lines.join("\n");
}
