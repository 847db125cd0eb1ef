import { Command } from "commander";
import { evaluateRun, type RunEvaluation } from "../runs/evaluate-run.ts";
import { runOptions } from "../runs/run-config.ts";
import { counted, metrics, table } from "./format.ts";
import { addExamples } from "./help.ts";
import { addSchemaOptions, givenOptions } from "./schema-options.ts";

const EXAMPLES = [
  "aflora evaluate --run runs/tickets",
  "aflora evaluate --run runs/tickets --validation new.csv --json",
];

/** `aflora evaluate` */
export function evaluateCommand(): Command {
  const command = new Command("evaluate")
    .description("evaluate a fine-tuned model: metrics, macro F1 and a confusion matrix")
    .requiredOption("--run <dir>", "run folder")
    .option("--data <dir>", "folder with the GLUE task's files (the run's own where absent)")
    .option("--validation <file>", "examples: CSV, TSV or JSONL file (the run's own validation data where absent)")
    .option("--text <column>", "column of the text")
    .option("--text-pair <column>", "column of the second text of a pair")
    .option("--label <column>", "column of the label")
    .option("--json", "as JSON");
  addSchemaOptions(command, runOptions.pick({ device: true, threads: true, offline: true }), "Options");
  return addExamples(command, EXAMPLES).action(async () => {
    const { run, json, ...given } = givenOptions(command);
    const evaluations = await evaluateRun(run as string, given);
    process.stdout.write(
      json ? `${JSON.stringify(evaluations, null, 2)}\n` : `${evaluations.map(describe).join("\n\n")}\n`,
    );
  });
}

function describe({ split, examples, metrics: values, labels, confusion }: RunEvaluation): string {
  const lines = [`${split}: ${counted(examples, "example")}`, metrics(values)];
  if (confusion) {
    const rows = confusion.map((row, i) => [labels[i]!, ...row.map(String)]);
    lines.push("", "rows: true label, columns: predicted", table([["", ...labels], ...rows]));
  }
  return lines.join("\n");
}
