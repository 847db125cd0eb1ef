import { Command } from "commander";
import { guessColumns } from "../../datasets/guess-columns.ts";
import { headerAdvice } from "../../datasets/header-problem.ts";
import { fileFormat, readTable } from "../../datasets/read-table-node.ts";
import { csvOf } from "../../datasets/write-csv.ts";
import { UserError } from "../../errors.ts";
import { writeAtomically } from "../../files/atomic-file-node.ts";
import { loadEmbedder } from "../../inference/load-embedder-node.ts";
import { unitVectors } from "../../inference/retrieval/embed-texts.ts";
import {
  type CheckedRow,
  checkRows,
  contradictedRows,
  problemGroups,
  type RowProblem,
  rowsToCheck,
} from "../../labels/check-rows.ts";
import { runOptions } from "../../preparation/run-options-node.ts";
import type { DeviceName } from "../../runtime/device.ts";
import { runtimeFor } from "../../runtime/runtime-for-node.ts";
import type { Runtime } from "../../runtime/session.ts";
import { dataNotes, shownNotes } from "../../tasks/data-notes.ts";
import { list } from "../../tasks/rows.ts";
import { inOneLine } from "../given-texts.ts";
import { addExamples, inFlags } from "../help.ts";
import { addSchemaOptions, givenOptions } from "../schema-options.ts";
import { downloadLine } from "../terminal/download-line.ts";
import { counted, table } from "../terminal/format.ts";
import { print } from "../terminal/print.ts";
import { ProgressLine, whileReading } from "../terminal/progress-line.ts";

const EXAMPLES = [
  "aflora check --train tickets.csv --text message --label team",
  "aflora check --train train.csv --validation held.csv --output problems.csv",
];

const NOTE = `Fits a linear head on a frozen encoder and predicts each row with a head that was not fitted to it.
Shows the labels that this prediction contradicts most. The prediction can be wrong: look at a row
before you change its label.`;

/** Number of rows of each kind to print. `--output` has all. */
const SHOWN = 10;
const TEXT_WIDTH = 60;

interface Given {
  train: string;
  validation?: string;
  text?: string;
  label?: string;
  output?: string;
  model?: string;
  device?: DeviceName;
  threads?: number;
  offline?: boolean;
  strict?: boolean;
}

/** `aflora check` */
export function checkCommand(): Command {
  const command = new Command("check")
    .requiredOption("--train <file>", "file of rows with one label each: CSV, TSV, JSONL or parquet")
    .option("--validation <file>", "file of validation rows; reports rows that are in both files")
    .option("--text <column>", "column of the text (default: guessed from names and values)")
    .option("--label <column>", "column of the label (default: guessed from names and values)")
    .option("--output <file>", "CSV file to write, with every problem and its row");
  addSchemaOptions(
    command,
    runOptions.pick({ model: true, device: true, threads: true, offline: true, strict: true }),
    "Options",
  );
  return addExamples(command, EXAMPLES, NOTE).action(async () => {
    const given = givenOptions<Given>(command);
    if (given.output !== undefined && !/\.csv$/i.test(given.output)) {
      throw new UserError(`${given.output}: problems are written as CSV; name a file.csv`);
    }
    const train = await readRows(given.train, given);
    const held = given.validation === undefined ? undefined : await readRows(given.validation, given);
    const rows = [...train.rows, ...(held?.rows.map((row) => ({ ...row, held: true })) ?? [])];
    const found = dataNotes(rows, train.skipped);
    shownNotes(found, given.strict);
    const notes = found.map(inFlags);
    const runtime = runtimeFor(given);
    const vectors = await vectorsOf(rows, given, runtime);
    const problems = [...checkRows(rows), ...(await contradictedRows(rows, vectors, runtime))];
    if (given.output !== undefined) {
      const lines = problems.map(({ kind, row, detail }) => [kind, ...cellsOf(rows, row), detail]);
      const all = csvOf([
        ["problem", "place", "label", "text", "detail"],
        ...notes.map((note) => ["note", "", "", "", note]),
        ...lines,
      ]);
      await writeAtomically(given.output, (file) => file.writeFile(all));
    }
    for (const header of [train.header, held?.header]) if (header) print(`${header}\n\n`);
    if (notes.length > 0) print(`${notes.map((note) => `note: ${note}\n`).join("")}\n`);
    print(`${shown(rows, problems, given.output)}\n`);
  });
}

/** Rows of a file. If no columns are named, guesses those of the text and label. */
async function readRows(
  file: string,
  named: Given,
): Promise<{ rows: CheckedRow[]; header: string | undefined; skipped: number | undefined }> {
  const found = await whileReading(file, async (onRead) => readTable(file, await fileFormat(file), { onRead }));
  const guessed = guessColumns(found);
  const [text, label] = [named.text ?? guessed.text, named.label ?? guessed.label];
  if (text === undefined || label === undefined) {
    throw new UserError(
      `${file} has the columns ${list(found.columns)}; name the columns of the text and the label with --text and --label`,
    );
  }
  const rows = rowsToCheck(found, { text, label });
  return { rows, header: headerAdvice(found), skipped: found.skipped };
}

async function vectorsOf(rows: readonly CheckedRow[], given: Given, runtime: Runtime): Promise<Float32Array[]> {
  const from = { offline: given.offline, onProgress: downloadLine() };
  const encoder = await loadEmbedder(given.model, runtime, from);
  const progress = new ProgressLine("computing vectors", "texts", rows.length);
  try {
    const texts = rows.map(({ text }) => text);
    return await unitVectors(encoder, texts, { onProgress: (done) => progress.at(done) });
  } finally {
    progress.end();
    await encoder.release();
  }
}

const cellsOf = (rows: readonly CheckedRow[], row: number | undefined): [place: string, label: string, text: string] =>
  row === undefined ? ["", "", ""] : [rows[row]!.place, rows[row]!.label, rows[row]!.text];

function shown(rows: readonly CheckedRow[], problems: readonly RowProblem[], output: string | undefined): string {
  if (problems.length === 0) return `${counted(rows.length, "row")}: no row looks wrong`;
  const parts = problemGroups(problems).map(({ title, problems: own }) => {
    const lines = own.slice(0, SHOWN).map(({ row, detail }) => {
      const [place, label, text] = cellsOf(rows, row);
      return row === undefined ? [detail] : [place, label, detail, inOneLine(text).slice(0, TEXT_WIDTH)];
    });
    const more = own.length > SHOWN ? [`… and ${own.length - SHOWN} more`] : [];
    return [`${title}: ${own.length}`, table([lines[0]!.map(() => ""), ...lines]).trimStart(), ...more].join("\n");
  });
  const written = output === undefined ? "--output FILE.csv writes them all" : `written to ${output}`;
  return [...parts, `${counted(rows.length, "row")}, ${counted(problems.length, "problem")}; ${written}`].join("\n\n");
}
