import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { writeRows } from "../../datasets/write-rows-node.ts";
import { makeFolder } from "../../files/atomic-file-node.ts";
import { loadFineTunedModel } from "../../inference/load-fine-tuned-model-node.ts";
import { type LabelledTexts, readLabelledTexts } from "../../labels/labelled-texts-node.ts";
import { REPORT } from "../../runs/run-folder.ts";
import { addExamples, STARTED_AS } from "../help.ts";
import { INTERRUPTED, runTraining } from "../run-training.ts";
import { duration, table } from "../terminal/format.ts";
import { print } from "../terminal/print.ts";
import { freezingDemo } from "./demo-freezing.ts";

const TICKETS = fileURLToPath(new URL("../../../examples/tickets.csv", import.meta.url));
const COLUMNS = { text: "message", label: "team" };
/** Rows of each team to learn from. The others are unseen. */
const ROWS_EACH = 8;
/** Messages that are not in the file. */
const NEW_MESSAGES = [
  "You took the money twice this month",
  "The window stays white after the update",
  "Nobody rang, and the parcel went back",
];
/** Mistakes to show. */
const MISTAKES = 3;

const EXAMPLES = ["aflora demo", "aflora demo --freezing"];
const NOTE = `Trains a model on ${4 * ROWS_EACH} support tickets, offline, and asks it. --freezing then trains AFLoRA on 4,500
film reviews, and draws which of its matrices freeze.`;

/** `aflora demo` */
export function demoCommand(): Command {
  const command = new Command("demo")
    .option("--output <dir>", "folder for the demo's files", "runs/demo")
    .option("--freezing", "also show how AFLoRA freezes matrices (a minute)");
  return addExamples(command, EXAMPLES, NOTE).action(
    async ({ output, freezing }: { output: string; freezing?: boolean }) => {
      if (!(await ticketsDemo(output))) process.exitCode = INTERRUPTED;
      else if (freezing || (await asked())) await freezingDemo(join(output, "freezing"));
      else print(`\nSee AFLoRA freeze its matrices: ${STARTED_AS} demo --freezing\n`);
    },
  );
}

/** Trains on a few tickets and shows what the model learned. @returns whether it was not interrupted */
async function ticketsDemo(output: string): Promise<boolean> {
  const all = await readLabelledTexts(TICKETS, COLUMNS);
  const rows = all.texts.map((_, i) => i);
  const isFew = (i: number): boolean =>
    rows.filter((j) => j < i && all.classes[j] === all.classes[i]).length < ROWS_EACH;
  const [few, unseen] = [rows.filter(isFew), rows.filter((i) => !isFew(i))];
  await makeFolder(output);
  const [fewFile, unseenFile] = [join(output, "few.csv"), join(output, "unseen.csv")];
  await writeRows(
    fewFile,
    all.table,
    [],
    few.map((row) => [row, []]),
  );
  await writeRows(
    unseenFile,
    all.table,
    [],
    unseen.map((row) => [row, []]),
  );
  const samples = all.labels.map((label, i) => [label, all.texts[few.find((row) => all.classes[row] === i)!]!]);
  print(`${few.length} support tickets, ${ROWS_EACH} for each team:\n${indented(table(samples))}\n\n`);

  const directory = join(output, "tickets");
  const started = performance.now();
  const { result } = await runTraining(
    { train: fewFile, ...COLUMNS, output: directory },
    { overwrite: true, brief: true },
  );
  if (!result) return false;
  const seconds = (performance.now() - started) / 1000;
  print(`\n${await learned(directory, all, unseen, seconds)}

Report: ${join(directory, REPORT)}
Ask it:  ${STARTED_AS} predict --run ${directory} "My card was charged twice"
Measure: ${STARTED_AS} evaluate --run ${directory} --validation ${unseenFile}
`);
  return true;
}

/** Describes a model: its score on unseen rows, its answers, its mistakes. */
async function learned(
  directory: string,
  all: LabelledTexts,
  unseen: readonly number[],
  seconds: number,
): Promise<string> {
  const model = await loadFineTunedModel(directory);
  const answers = await model.predict([...NEW_MESSAGES, ...unseen.map((row) => all.texts[row]!)]);
  await model.release();
  const truth = unseen.map((row) => all.labels[all.classes[row]!]!);
  const scored = unseen.map((row, i) => ({
    text: all.texts[row]!,
    answer: answers[NEW_MESSAGES.length + i]!,
    team: truth[i]!,
  }));
  const wrong = scored.filter(({ answer, team }) => answer.label !== team);
  const most = Math.max(...all.labels.map((label) => truth.filter((team) => team === label).length));
  const right = scored.length - wrong.length;
  const mistakes = wrong.slice(0, MISTAKES).map(({ text, answer, team }) => [`${sure(answer)}, not ${team}`, text]);
  return [
    `A model after ${duration(seconds)}. It classifies ${right} of ${scored.length} unseen tickets correctly (${percent(right / scored.length)});`,
    `giving all of them the same team would be right for ${most} (${percent(most / scored.length)}).`,
    "",
    "Its answers to new messages:",
    indented(table(NEW_MESSAGES.map((text, i) => [sure(answers[i]!), text]))),
    ...(mistakes.length > 0 ? ["", "Some of its mistakes:", indented(table(mistakes))] : []),
  ].join("\n");
}

/** Asks on a terminal whether to continue with the second part. */
async function asked(): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return false;
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await new Promise<string>((resolve) => {
    lines.once("close", () => resolve(""));
    lines.question("\nWatch AFLoRA freeze its matrices, for a minute? [y/N] ", resolve);
  });
  lines.close();
  return /^y/i.test(answer.trim());
}

interface Answer {
  label?: string | null;
  labels?: readonly { probability: number }[] | null;
}

const sure = ({ label, labels }: Answer): string => `${label} (${percent(labels?.[0]?.probability ?? 0)})`;

const percent = (share: number): string => `${Math.round(100 * share)} %`;

const indented = (text: string): string => text.replace(/^/gm, "  ");
