import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { Command } from "commander";
import { z } from "zod";
import { refuseOutput, writeRows } from "../../datasets/write-rows-node.ts";
import { checkOptions, UserError } from "../../errors.ts";
import { UNSURE } from "../../inference/confidence-threshold.ts";
import { mayHaveKey } from "../../labels/chat-client.ts";
import { labelByModel, type TextVerdict } from "../../labels/label-by-model.ts";
import type { NamedLabel } from "../../labels/named-labels.ts";
import { readLabels } from "../../labels/read-labels-node.ts";
import { readTextRows, type TextRows } from "../../labels/text-rows-node.ts";
import { VoteFile } from "../../labels/vote-file-node.ts";
import { addExamples } from "../help.ts";
import { INTERRUPTED } from "../run-training.ts";
import { addSchemaOptions, givenOptions } from "../schema-options.ts";
import { counted, integer } from "../terminal/format.ts";
import { print, say } from "../terminal/print.ts";
import { ProgressLine, whileReading } from "../terminal/progress-line.ts";
import { onStopSignal } from "../terminal/stop-signals.ts";

const EXAMPLES = [
  "aflora label --labels billing,bug,sales --file rows.csv --text message --endpoint http://127.0.0.1:11434/v1 --model qwen3:4b --output labelled.csv",
  "aflora label --labels labels.csv --file rows.csv --endpoint https://api.openai.com/v1 --model gpt-4.1-mini --votes 3 --price-per-million 0.40,1.60 --output labelled.csv",
  "aflora train --train labelled.csv --text message",
];

const NOTE = `Asks any OpenAI-compatible server (Ollama, llama.cpp, vLLM, aflora serve or a cloud service) for
the label of each row, and so sends the texts there. If an answer is not one of the labels, it asks
once more; rows that still have no label go to a second file, for labelled.csv to
labelled.unsure.csv. It saves each answer in OUTPUT.answers.jsonl: after Ctrl-C or a failure, run
the same command again to continue. It reads the key from an environment variable and never writes
it to a file.`;

/** Environment variable in which OpenAI clients look for the key. */
const USUAL_KEY = "OPENAI_API_KEY";

const labelOptions = z.object({
  votes: z
    .int()
    .min(1)
    .max(25)
    .default(1)
    .describe("number of requests per text; the most frequent answer becomes its label"),
  concurrency: z.int().min(1).max(64).default(4).describe("number of parallel requests"),
  perMinute: z.number().positive().optional().describe("limit on requests per minute"),
  timeout: z.number().positive().max(3600).default(120).describe("seconds to wait for an answer"),
});

interface Given {
  labels: string;
  file: string;
  endpoint: string;
  model: string;
  output: string;
  text?: string;
  label?: string;
  instructions?: string;
  keyEnv?: string;
  pricePerMillion?: Price;
}

/** Price of a million tokens, in any currency. */
interface Price {
  read: number;
  written: number;
}

/** `aflora label` */
export function labelCommand(): Command {
  const command = new Command("label")
    .requiredOption(
      "--labels <list|file>",
      "names separated by commas, each with an optional =description, or a file of them",
    )
    .requiredOption("--file <file>", "file of rows to label: CSV, TSV, JSONL, parquet or TXT")
    .option("--endpoint <url>", "base URL of the server, such as http://127.0.0.1:11434/v1 (required)")
    .option("--model <name>", "name of the model on the server (required)")
    .requiredOption("--output <file>", "file to write: the rows with their labels, as CSV, JSONL or parquet")
    .option("--text <column>", "column of the text (default: text, or the only column)")
    .option("--label <column>", "column to write the label to (default: label)")
    .option("--instructions <text>", "further instructions for the model")
    .option("--key-env <name>", `environment variable that holds the key (default: ${USUAL_KEY}, if set)`)
    .option(
      "--price-per-million <read,written>",
      "price per million tokens read and written, to show the cost",
      parsePrice,
    );
  addSchemaOptions(command, labelOptions, "Requests");
  return addExamples(command, EXAMPLES, NOTE).action(async () => {
    const given = withServer(givenOptions(command));
    const { votes, ...asking } = checkOptions(labelOptions.loose(), given) as z.output<typeof labelOptions>;
    const labels = await readLabels(given.labels);
    const rows = await whileReading(given.file, (onRead) => readTextRows(given.file, given.text, onRead));
    const columns = [given.label ?? "label", ...(votes > 1 ? ["agreement"] : [])];
    refuseOutput(rows.table, given.output, [...columns, "reason"]);
    const answers = `${given.output}.answers.jsonl`;
    if (existsSync(given.output) && !existsSync(answers)) {
      throw new UserError(
        `${given.output} already exists and was not labelled here; give another --output, or remove it`,
      );
    }
    const { instructions, model } = given;
    const file = await VoteFile.open(answers, { labels, model, instructions });
    try {
      const endpoint = { url: given.endpoint, model, key: keyFor(given), ...asking };
      const found = await ask(
        rows,
        { labels, endpoint, instructions, votes, concurrency: asking.concurrency },
        file,
        given,
      );
      if (!found) return;
      await write(rows, columns, found.verdicts, given.output);
      print(`${summaryOf(labels, found, votes, given)}\n`);
    } finally {
      await file.close();
    }
  });
}

/** @throws UserError if no server or no model is named */
function withServer(given: Partial<Given>): Given {
  if (given.endpoint === undefined) {
    throw new UserError(
      `which server should label the rows? Give --endpoint http://127.0.0.1:11434/v1 for Ollama on this machine, or --endpoint https://api.openai.com/v1 for OpenAI with the key in ${USUAL_KEY}`,
    );
  }
  if (given.model !== undefined) return given as Given;
  throw new UserError(`which model of ${given.endpoint} should label the rows? Name it with --model, such as qwen3:4b`);
}

/** The key from the environment. @throws UserError if the named variable is not set */
function keyFor({ keyEnv, endpoint }: Given): string | undefined {
  const key = process.env[keyEnv ?? USUAL_KEY]?.trim() || undefined;
  if (keyEnv !== undefined && key === undefined) {
    throw new UserError(`the environment variable ${keyEnv} is not set; put the key into it`);
  }
  if (keyEnv !== undefined || key === undefined || mayHaveKey(endpoint)) return key;
  say(`note: ${USUAL_KEY} is not sent to ${endpoint}, because others could read it on the way\n`);
  return undefined;
}

type Asked = Parameters<typeof labelByModel>[3] & {
  labels: readonly NamedLabel[];
  endpoint: Parameters<typeof labelByModel>[0];
  votes: number;
};

/** Asks for missing votes. @returns undefined if a signal ended it */
async function ask(
  { texts }: TextRows,
  { labels, endpoint, ...options }: Asked,
  file: VoteFile,
  { pricePerMillion: price }: Given,
): Promise<{ verdicts: TextVerdict[]; tokens: Price } | undefined> {
  const abort = new AbortController();
  const known = file.votesOn(texts).filter(({ vote }) => vote < options.votes);
  const askable = new Set(texts.filter((text) => text.trim() !== ""));
  const missing = askable.size * options.votes - known.length;
  const progress = new ProgressLine("labelling", "answers", missing);
  const stopListening = onStopSignal(() => {
    abort.abort();
    say("waiting for the answers in progress; press Ctrl-C again to end at once\n");
  });
  let done = 0;
  const tokens = { read: 0, written: 0 };
  const count = ({ read, written }: Price): void => {
    tokens.read += read;
    tokens.written += written;
  };
  try {
    const verdicts = await labelByModel(endpoint, labels, texts, {
      ...options,
      known,
      signal: abort.signal,
      async onVote(vote) {
        await file.add(vote);
        done++;
        count(vote.tokens);
        const spent = price ? costOf(tokens, price) : 0;
        const cost = `, ${spent.toFixed(4)} of ${((spent / done) * missing).toFixed(4)} spent`;
        progress.at(done, price ? { more: cost } : {});
      },
    });
    for (const vote of known) count(vote.tokens);
    return { verdicts, tokens };
  } catch (error) {
    if (!abort.signal.aborted || error !== abort.signal.reason) throw error;
    say(`${integer(done)} of ${integer(missing)} answers are saved; run the same command again to continue\n`);
    process.exitCode = INTERRUPTED;
    return undefined;
  } finally {
    stopListening();
    progress.end();
  }
}

const unsureFile = (output: string): string => output.replace(/\.\w+$/, ".unsure$&");

/** Writes rows with a label to the output file, and the others to a second file. */
async function write(
  { table }: TextRows,
  columns: readonly string[],
  verdicts: readonly TextVerdict[],
  output: string,
): Promise<void> {
  const all = verdicts.map((verdict, row) => ({ row, ...verdict }));
  const certain = all.filter(({ label }) => label !== undefined);
  const unsure = all.filter(({ label }) => label === undefined);
  if (unsure.length === 0) await rm(unsureFile(output), { force: true });
  else
    await writeRows(
      unsureFile(output),
      table,
      ["reason"],
      unsure.map(({ row, reason }) => [row, [reason]]),
    );
  const cells = certain.map(
    ({ row, label, agreement }) => [row, [label, agreement.toFixed(2)].slice(0, columns.length)] as const,
  );
  await writeRows(output, table, columns, cells);
}

function summaryOf(
  labels: readonly NamedLabel[],
  { verdicts, tokens }: { verdicts: readonly TextVerdict[]; tokens: Price },
  votes: number,
  { output, pricePerMillion: price }: Given,
): string {
  const count = (name: string | undefined): number => verdicts.filter(({ label }) => label === name).length;
  const unsure = count(undefined);
  const differing = verdicts.filter(({ agreement }) => agreement > 0 && agreement < 1).length;
  const cost = price ? `, which cost ${costOf(tokens, price).toFixed(4)}` : "";
  return [
    `${counted(verdicts.length, "row")}: ${labels.map(({ name }) => `${name} ${integer(count(name))}`).join(", ")}, ${UNSURE} ${integer(unsure)}`,
    ...(votes > 1 ? [`votes differ on ${counted(differing, "row")}`] : []),
    `${integer(tokens.read)} tokens read, ${integer(tokens.written)} written${cost}`,
    `written to ${output}${unsure > 0 ? `, rows without a label to ${unsureFile(output)}` : ""}`,
  ].join("\n");
}

const costOf = (tokens: Price, price: Price): number =>
  (tokens.read * price.read + tokens.written * price.written) / 1e6;

function parsePrice(text: string): Price {
  const [read, written = read] = text.split(",").map(Number);
  if (text.split(",").length <= 2 && read! >= 0 && written! >= 0) return { read: read!, written: written! };
  throw new UserError(`--price-per-million takes one price or two, such as 0.40,1.60, not "${text}"`);
}
