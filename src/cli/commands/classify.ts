import { Command } from "commander";
import { refuseOutput, writeRows } from "../../datasets/write-rows-node.ts";
import { UserError } from "../../errors.ts";
import { loadEmbedder } from "../../inference/load-embedder-node.ts";
import { classifyByLabels, type LabelScore } from "../../labels/classify-by-labels.ts";
import type { NamedLabel } from "../../labels/named-labels.ts";
import { readLabels } from "../../labels/read-labels-node.ts";
import { readTextRows } from "../../labels/text-rows-node.ts";
import { runOptions } from "../../preparation/run-options-node.ts";
import type { DeviceName } from "../../runtime/device.ts";
import { runtimeFor } from "../../runtime/runtime-for-node.ts";
import { inOneLine, linesOfStdin } from "../given-texts.ts";
import { addExamples } from "../help.ts";
import { addSchemaOptions, givenOptions } from "../schema-options.ts";
import { downloadLine } from "../terminal/download-line.ts";
import { counted } from "../terminal/format.ts";
import { print } from "../terminal/print.ts";
import { ProgressLine, whileReading } from "../terminal/progress-line.ts";

const EXAMPLES = [
  'aflora classify --labels billing,bug,sales "My card was charged twice"',
  'aflora classify --labels "billing=invoices and refunds,bug=the app fails" --file rows.csv --text message',
  "aflora classify --labels labels.csv --file rows.csv --text message --output labelled.csv",
];

const NOTE = `classify needs no training and no examples: it embeds each label's name and description, and
gives a text the nearest label. The score is a cosine similarity, not a probability. Descriptions
help a lot. A file of labels has the columns label and description; a label may have several rows.`;

interface Given {
  labels: string;
  file?: string;
  text?: string;
  output?: string;
  label?: string;
  json?: boolean;
  model?: string;
  device?: DeviceName;
  threads?: number;
  offline?: boolean;
}

/** `aflora classify` */
export function classifyCommand(): Command {
  const command = new Command("classify")
    .argument("[texts...]", "texts to label")
    .requiredOption(
      "--labels <list|file>",
      "names separated by commas, each with an optional =description, or a file of them",
    )
    .option("--file <file>", "texts from a CSV, TSV, JSONL, parquet or TXT file")
    .option("--text <column>", "column of the text (default: text, or the only column)")
    .option("--output <file>", "file to write: the rows of --file with label and score, as CSV, JSONL or parquet")
    .option("--label <column>", "column to write the label to (default: label)")
    .option("--json", "print JSON Lines with the score of every label");
  addSchemaOptions(command, runOptions.pick({ model: true, device: true, threads: true, offline: true }), "Options");
  return addExamples(command, EXAMPLES, NOTE).action(async (texts: string[]) => {
    const given = givenOptions<Given>(command);
    const { file, output, label = "label" } = given;
    if (file !== undefined && texts.length > 0) throw new UserError("give texts or --file, not both");
    if (output !== undefined && file === undefined)
      throw new UserError("--output writes the rows of --file; give both");
    const labels = await readLabels(given.labels);
    const rows =
      file === undefined ? undefined : await whileReading(file, (onRead) => readTextRows(file, given.text, onRead));
    const columns = [label, "score"];
    if (rows && output !== undefined) refuseOutput(rows.table, output, columns);
    const all = rows?.texts ?? (texts.length > 0 ? texts : await linesOfStdin());
    if (all.length === 0) throw new UserError("nothing to label: give texts, --file FILE, or text on stdin");
    const encoder = await loadEmbedder(given.model, runtimeFor(given), {
      offline: given.offline,
      onProgress: downloadLine(),
    });
    try {
      const progress = new ProgressLine("labelling", "texts", all.length);
      const scores = await classifyByLabels(encoder, labels, all, { onProgress: (done) => progress.at(done) });
      progress.end();
      if (rows && output !== undefined) {
        await writeRows(
          output,
          rows.table,
          columns,
          scores.map(([best], i) => [i, [best!.label, best!.score.toFixed(4)]]),
        );
        print(`${summaryOf(labels, scores)}\nwritten to ${output}\n`);
      } else {
        print(scores.map((each, i) => lineOf(all[i]!, each, given.json)).join(""));
      }
    } finally {
      await encoder.release();
    }
  });
}

function lineOf(text: string, scores: readonly LabelScore[], json = false): string {
  const [best] = scores;
  if (json) return `${JSON.stringify({ text, label: best!.label, labels: scores })}\n`;
  return `${best!.label} ${best!.score.toFixed(3)}\t${inOneLine(text)}\n`;
}

/** Text such as `billing 12, bug 30`. */
function summaryOf(labels: readonly NamedLabel[], scores: readonly (readonly LabelScore[])[]): string {
  const counts = labels.map(({ name }) => `${name} ${scores.filter(([best]) => best!.label === name).length}`);
  return `${counted(scores.length, "text")}: ${counts.join(", ")}`;
}
