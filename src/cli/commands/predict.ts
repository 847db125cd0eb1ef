import { Command } from "commander";
import { readRows } from "../../datasets/table-node.ts";
import { refuseOutput, writeRows } from "../../datasets/write-rows-node.ts";
import { UserError } from "../../errors.ts";
import { chooseAnswers } from "../../inference/choose-answer.ts";
import type { FineTunedModel } from "../../inference/fine-tuned-model.ts";
import { generationOptions } from "../../inference/generation/generation-options.ts";
import { loadAskedModel } from "../../inference/load-fine-tuned-model-node.ts";
import type { AnswerOptions } from "../../inference/write-answers.ts";
import { askingOptions } from "../../preparation/run-options-node.ts";
import type { DeviceName } from "../../runtime/device.ts";
import { runtimeFor } from "../../runtime/runtime-for-node.ts";
import type { List } from "../../tasks/list.ts";
import { lineOf } from "../../tasks/probabilities.ts";
import { namedColumns, type Table } from "../../tasks/rows.ts";
import type { TextInput } from "../../tasks/task-kind.ts";
import { type BaseFlags, baseOptions, noteBaseFormat } from "../base-flags.ts";
import { inOneLine, linesOfStdin } from "../given-texts.ts";
import { addExamples } from "../help.ts";
import { givenSchema, JSON_SCHEMA } from "../json-schema-option.ts";
import { leaveOpen, NONE_OF_THESE, type OpenAnswers, THRESHOLD } from "../open-answers.ts";
import { addSchemaOptions, givenOptions, numberOption } from "../schema-options.ts";
import { counted } from "../terminal/format.ts";
import { print } from "../terminal/print.ts";
import { ProgressLine, whilePending, whileReading } from "../terminal/progress-line.ts";
import { writingOptions } from "../writing-options.ts";

const EXAMPLES = [
  'aflora predict --run runs/tickets "My card was charged twice"',
  'aflora predict --run runs/rte "A man sleeps." --text-pair "Nobody is awake."',
  "aflora predict --run runs/tickets --file new.csv --text message --json",
  "aflora predict --run runs/tickets --file new.csv --text message --output answered.csv",
  'aflora predict --run runs/tickets --threshold auto:precision=0.95 "My card was charged twice"',
  "cat messages.txt | aflora predict --run runs/tickets",
  'aflora predict --adapter peft-folder --model bert-base-uncased-folder "Where is my order?"',
  'aflora predict --model HuggingFaceTB/SmolLM2-135M-Instruct "What is a parcel?"',
  'aflora predict --run runs/support --choices yes,no "Is my order on its way?"',
  'aflora predict --run runs/support --json-schema order.json "Two blue shirts, size M"',
  'aflora predict --run runs/support "How do I reset my password?" --max-new-tokens 80',
];

/** `aflora predict` */
export function predictCommand(): Command {
  const command = new Command("predict")
    .argument("[texts...]", "texts to label or answer")
    .option("--run <dir>", "run folder, or its adapter folder")
    .option("--adapter <dir>", "adapter folder instead of --run, for example one made by Hugging Face PEFT")
    .option(
      "--model <name>",
      "model to use without training; with --run or --adapter, base model to use instead of the one named there",
    )
    .option("--file <file>", "texts from a CSV, TSV, JSONL, parquet or TXT file")
    .option("--text <column>", "column of the text in that file")
    .option("--text-pair <text>", "second text of each pair; with --file, its column")
    .option("--choices <list>", "allowed answers, separated by commas; a language model picks the likeliest")
    .option("--json-schema <file>", JSON_SCHEMA)
    .option("--threshold <p>", THRESHOLD)
    .addOption(numberOption("--none-of-these <share>", NONE_OF_THESE))
    .option("--output <file>", "file to write: the rows of --file with the answers, as CSV, JSONL or parquet")
    .option("--json", "print JSON Lines with the probability of every label");
  addSchemaOptions(command, generationOptions, "Answers of language models");
  addSchemaOptions(command, askingOptions, "Options");
  return addExamples(command, EXAMPLES).action(async (texts: string[]) => {
    const options = givenOptions<PredictOptions>(command);
    const writing = { ...writingOptions(options), ...(await givenSchema(options.jsonSchema)) };
    const model = await whilePending(
      "loading the model",
      loadAskedModel(options, runtimeFor(options), baseOptions(options)),
    );
    try {
      noteBaseFormat(model.base, options);
      leaveOpen(model, options);
      if (model.embeds && options.run === undefined && options.adapter === undefined) {
        throw new UserError(
          `${model.base.name} has no head that predicts: embed texts with aflora embed, or train it (aflora train)`,
        );
      }
      if (options.jsonSchema !== undefined && !(model.writes && options.textPair === undefined && !options.choices)) {
        throw new UserError(
          "--json-schema is for answers that a language model writes; leave it out, or leave out --choices and --text-pair",
        );
      }
      const { inputs, table } = await readInputs(texts, options, model.description.task.kind);
      const answers = new Answers(options, table);
      if (options.choices !== undefined) await choose(model, inputs, options.choices, options, answers);
      // A text with a continuation is not answered, but scored.
      else if (model.writes && options.textPair === undefined)
        await answer(model, inputs, { ...writing, alone: inputs.length === 1 }, options, answers);
      else await label(model, inputs, options, answers);
      await answers.finish();
    } finally {
      await model.release();
    }
  });
}

/** An answer in each form in which it can be given. */
interface GivenAnswer {
  line: string;
  json: object;
  cells: Readonly<Record<string, unknown>>;
}

/** Prints answers as they arrive, or writes them beside the rows of a file. */
class Answers {
  readonly #options: PredictOptions;
  readonly #table: Table | undefined;
  readonly #cells: GivenAnswer["cells"][] = [];

  /** @throws UserError if the answers cannot be written to the named file */
  constructor(options: PredictOptions, table: Table | undefined) {
    this.#options = options;
    this.#table = table;
    const { output } = options;
    if (output === undefined) return;
    if (!table) throw new UserError("--output writes the rows of --file; give both");
    refuseOutput(table, output, []);
  }

  give({ line, json, cells }: GivenAnswer): void {
    if (this.#options.output !== undefined) this.#cells.push(cells);
    else print(`${this.#options.json ? JSON.stringify(json) : line}\n`);
  }

  async finish(): Promise<void> {
    const { output } = this.#options;
    if (output === undefined) return;
    const { columns } = this.#table!;
    const names = Object.keys(this.#cells[0]!);
    const added = freeNames(names, columns);
    await writeRows(
      output,
      this.#table!,
      added,
      this.#cells.map((cells, row) => [row, names.map((name) => cells[name])]),
    );
    print(`${counted(this.#cells.length, "row")} written to ${output}\n`);
  }
}

/** Names for columns beside those of a file, which keeps its own: `label`, or else `predicted_label`, `predicted_label_2` and so on. */
function freeNames(names: readonly string[], columns: readonly string[]): string[] {
  const taken = new Set(columns);
  return names.map((name) => {
    let free = name;
    for (let number = 1; taken.has(free); number++) free = `predicted_${name}${number > 1 ? `_${number}` : ""}`;
    taken.add(free);
    return free;
  });
}

async function label(
  model: FineTunedModel,
  inputs: List<TextInput>,
  { file, output }: PredictOptions,
  answers: Answers,
): Promise<void> {
  const progress = file === undefined ? undefined : new ProgressLine("predicting", "texts");
  const onDone = (done: number, of: number): void => progress?.at(done, { of });
  let next = 0;
  try {
    for await (const prediction of model.predictEach(inputs, { onDone })) {
      const { text, textPair } = inputs.at(next++)!;
      // An answer begins on a line of its own.
      if (output === undefined) progress?.end();
      answers.give({
        line: `${model.kind.lineOf(prediction)}\t${inOneLine(textPair === undefined ? text : `${text} | ${textPair}`)}`,
        json: { text, textPair, ...prediction },
        cells: model.kind.cellsOf?.(prediction) ?? { ...prediction },
      });
    }
  } finally {
    progress?.end();
  }
}

/** Answers each text with one of a list. */
async function choose(
  model: FineTunedModel,
  inputs: List<TextInput>,
  list: string,
  { file, textPair }: PredictOptions,
  answers: Answers,
): Promise<void> {
  if (textPair !== undefined) throw new UserError("give --choices or --text-pair, not both");
  const choices = list.split(",").map((choice) => choice.trim());
  const progress = file === undefined ? undefined : new ProgressLine("answering", "texts");
  const onDone = (done: number, of: number) => progress?.at(done / choices.length, { of: of / choices.length });
  const texts = inputs.map(({ text }) => text);
  const chosen = await chooseAnswers(model, texts, choices, { onDone }).finally(() => progress?.end());
  chosen.forEach(({ label, probability, labels }, i) => {
    const text = texts[i]!;
    answers.give({
      line: `${lineOf(labels.slice(0, 1))}\t${inOneLine(text)}`,
      json: { text, label, probability, labels },
      cells: { label, probability },
    });
  });
}

/** Answers each text. Prints a single answer while it is generated, several on one line each. */
async function answer(
  model: FineTunedModel,
  inputs: List<TextInput>,
  writing: AnswerOptions,
  { json, file, output }: PredictOptions,
  answers: Answers,
): Promise<void> {
  const prompts = inputs.map((input) => model.promptOf(input));
  if (prompts.length === 1 && !json && output === undefined) {
    for await (const piece of model.answer(prompts[0]!, writing)) print(piece);
    print("\n");
    return;
  }
  const isHidden = !process.stdout.isTTY || output !== undefined;
  const progress = file !== undefined && isHidden ? new ProgressLine("answering", "texts") : undefined;
  await model
    .answers(prompts, writing, ({ text, ...end }, i) => {
      const shown = { text: inputs.at(i)!.text, answer: text, ...end };
      answers.give({ line: inOneLine(text), json: shown, cells: { answer: text } });
      progress?.at(i + 1, { of: prompts.length });
    })
    .finally(() => progress?.end());
}

interface PredictOptions extends BaseFlags, OpenAnswers {
  run?: string;
  adapter?: string;
  file?: string;
  text?: string;
  textPair?: string;
  choices?: string;
  jsonSchema?: string;
  device?: DeviceName;
  threads?: number;
  json?: boolean;
  output?: string;
}

/** Texts to answer, and the rows of the file that they came from. */
async function readInputs(
  texts: readonly string[],
  options: PredictOptions,
  kind: string,
): Promise<{ inputs: List<TextInput>; table?: Table }> {
  const { file, text, textPair } = options;
  if (file !== undefined) {
    if (texts.length > 0) throw new UserError("give texts or --file, not both");
    const named = namedColumns({ text, textPair });
    const { examples, table } = await whileReading(file, (onRead) => readRows(file, named, kind, [], { onRead }));
    return { inputs: examples, table };
  }
  const given = texts.length > 0 ? texts : await linesOfStdin();
  if (given.length === 0) throw new UserError("nothing to label: give texts, --file FILE, or text on stdin");
  return { inputs: given.map((text) => (textPair === undefined ? { text } : { text, textPair })) };
}
