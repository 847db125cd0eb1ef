import { Command, CommanderError } from "commander";
import { opt, showOptions, UserError } from "../errors.ts";
import { addExamples, flagOf, STARTED_AS } from "./help.ts";
import { say, withoutControls } from "./terminal/print.ts";
import { packageVersion } from "./version.ts";

const USER_ERROR = 2;
const OUR_ERROR = 1;
/** Maximum width of help and messages, in columns. Longer lines are hard to read. */
const MAX_WIDTH = 100;

/** Summary of each command, and a function that loads its module when the command is called. */
const COMMANDS: Readonly<Record<string, [summary: string, load: () => Promise<Command>]>> = {
  demo: [
    "train a model on 32 support tickets and classify messages with it, offline; --freezing shows how AFLoRA works",
    async () => (await import("./commands/demo.ts")).demoCommand(),
  ],
  init: [
    "write a small project of your own: classification, search or chat",
    async () => (await import("./commands/init.ts")).initCommand(),
  ],
  train: [
    "fine-tune a model on a GLUE task or on your own examples, and write a run folder",
    async () => (await import("./commands/train.ts")).trainCommand(),
  ],
  evaluate: [
    "evaluate a fine-tuned model: its metrics, and a confusion matrix of classes",
    async () => (await import("./commands/evaluate.ts")).evaluateCommand(),
  ],
  predict: [
    "label or answer texts from arguments, a file or stdin (one text per line)",
    async () => (await import("./commands/predict.ts")).predictCommand(),
  ],
  classify: [
    "label texts without training, by the names of the labels alone",
    async () => (await import("./commands/classify.ts")).classifyCommand(),
  ],
  label: [
    "ask a language model to label rows, and write a training file; works with any OpenAI-compatible server",
    async () => (await import("./commands/label.ts")).labelCommand(),
  ],
  suggest: [
    "choose the rows to label next: those that a model learns most from",
    async () => (await import("./commands/suggest.ts")).suggestCommand(),
  ],
  check: [
    "find rows that look wrong: doubtful labels, near duplicates, small classes, a missing header",
    async () => (await import("./commands/check.ts")).checkCommand(),
  ],
  chat: ["chat with a fine-tuned language model", async () => (await import("./commands/chat.ts")).chatCommand()],
  serve: [
    "serve fine-tuned models on 127.0.0.1 with an OpenAI-compatible API",
    async () => (await import("./commands/serve.ts")).serveCommand(),
  ],
  web: [
    "serve a page on 127.0.0.1 that trains, tries and downloads a model in the browser",
    async () => (await import("./commands/web.ts")).webCommand(),
  ],
  embed: [
    "compute the embedding of each text from arguments, a file or stdin (one text per line)",
    async () => (await import("./commands/embed.ts")).embedCommand(),
  ],
  search: [
    "find the texts of a corpus that are nearest to a query (exact search)",
    async () => (await import("./commands/search.ts")).searchCommand(),
  ],
  mine: [
    "find hard negatives for pairs with a fine-tuned model, and write a training file",
    async () => (await import("./commands/mine.ts")).mineCommand(),
  ],
  export: [
    "export a run's model for PEFT, Transformers, Transformers.js or Ollama, and check that its outputs stay the same",
    async () => (await import("./commands/export.ts")).exportCommand(),
  ],
  push: [
    "upload a run to the Hugging Face hub with a model card, private unless --public",
    async () => (await import("./commands/push.ts")).pushCommand(),
  ],
  compare: [
    "compare methods over several tasks and seeds",
    async () => (await import("./commands/compare.ts")).compareCommand(),
  ],
  tune: [
    "search for the best settings for your data within a time limit, and train with them",
    async () => (await import("./commands/tune.ts")).tuneCommand(),
  ],
  study: [
    "vary options, train every combination with several seeds, and show the effect of each option",
    async () => (await import("./commands/study.ts")).studyCommand(),
  ],
  work: [
    "compute for runs and studies of other machines until you stop it",
    async () => (await import("./commands/work.ts")).workCommand(),
  ],
  estimate: [
    "estimate time and memory of a run or a study on this machine from a few timed steps; writes nothing",
    async () => (await import("./commands/estimate.ts")).estimateCommand(),
  ],
  params: [
    "count a method's trainable parameters and FLOPs on a model, from its config.json alone",
    async () => (await import("./commands/params.ts")).paramsCommand(),
  ],
  report: [
    "write an HTML report of one run, or a comparison of several; it needs no network",
    async () => (await import("./commands/report.ts")).reportCommand(),
  ],
  info: [
    "show versions, devices and cores, and the supported models and methods",
    async () => (await import("./commands/info.ts")).infoCommand(),
  ],
};

/** Runs a command line, such as `["train", "--train", "tickets.csv"]`. Prints errors on stderr. */
export async function runCommandLine(args: readonly string[]): Promise<void> {
  const [given, texts] = splitAtDashes(args);
  const verbose = given.includes("--verbose");
  const flags = given.filter((argument) => argument !== "--verbose").map(withDashes);
  const program = new Command(STARTED_AS)
    .description(
      "Fine-tune transformer models on your own machine, with adaptive freezing of low-rank adapters (AFLoRA).",
    )
    .version(packageVersion())
    .option("--verbose", "show stack traces of errors");
  addExamples(program, [
    "aflora demo",
    "aflora train --train tickets.csv --text message --label team --output runs/tickets",
  ]);
  try {
    await addCommands(
      program,
      flags.find((argument) => !argument.startsWith("-") && argument !== "help"),
    );
    program.hook("preAction", async (_, command) => {
      const read = readFirst(command);
      if (read !== undefined) say(`reading ${read}\n`);
      const { env } = await import("onnxruntime-node");
      // Each error is printed once, as the error that it becomes.
      env.logLevel = "fatal";
    });
    await program.parseAsync([...flags, ...texts], { from: "user" });
  } catch (error) {
    process.exitCode = exitCodeOf(error);
    if (!(error instanceof CommanderError)) explain(error, verbose, flags);
  }
}

/** Adds the called command, and the names and summaries of the others. */
async function addCommands(program: Command, called: string | undefined): Promise<void> {
  for (const [name, [summary, load]] of Object.entries(COMMANDS)) {
    program.addCommand((name === called ? await load() : new Command(name)).description(summary));
  }
  // A study starts this command for each of its trials.
  if (called === "trial") program.addCommand((await import("./commands/trial.ts")).trialCommand());
  const helpWidth = Math.min(process.stdout.columns ?? MAX_WIDTH, MAX_WIDTH);
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .configureHelp({ ...command.configureHelp(), helpWidth })
      .configureOutput({ outputError: (message, write) => write(withoutControls(inOneLine(message))) });
  }
}

/** Name of the first file that a command reads, from these options or its argument; undefined if there is none. */
function readFirst(command: Command): string | undefined {
  const given = command.opts();
  const names = ["resume", "train", "dataset", "task", "config", "run", "adapter", "file", "pool", "model"];
  const [first] = names.map((name) => given[name]).filter((value) => typeof value === "string" || Array.isArray(value));
  if (first !== undefined) return [first].flat().join(", ");
  const isPath = ["file", "what"].includes(command.registeredArguments[0]?.name() ?? "");
  return isPath ? command.args[0] : undefined;
}

/** Arguments up to `--`, and the rest, which are not flags. */
function splitAtDashes(all: readonly string[]): [flags: string[], rest: string[]] {
  const end = all.indexOf("--");
  return end < 0 ? [[...all], []] : [all.slice(0, end), all.slice(end)];
}

/** Replaces underscores in flags, which other training tools use. */
function withDashes(argument: string): string {
  return argument.startsWith("--") ? argument.replace(/^[^=]*/, (flag) => flag.replaceAll("_", "-")) : argument;
}

/** Commander prints its suggestion on a separate line. */
function inOneLine(message: string): string {
  return message.replace(/\n\(Did you mean (.*)\?\)/, "; did you mean $1?");
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USER_ERROR;
  return error instanceof UserError ? USER_ERROR : OUR_ERROR;
}

function explain(error: unknown, verbose: boolean, flags: readonly string[]): void {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  say(`error: ${withNames(message, flags)}\n`);
  if (verbose) say(`${stack}\n`);
  else if (!(error instanceof UserError)) say("this is a defect of aflora; --verbose shows where\n");
}

/** Names options in a message as flags. If a file has options, too, only those that were given as flags. */
function withNames(message: string, flags: readonly string[]): string {
  const hasFile = flags.some((each) => /\.(json|ya?ml)$/i.test(each));
  const isGiven = (flag: string): boolean => flags.some((each) => each === flag || each.startsWith(`${flag}=`));
  return showOptions(message, (name) => (hasFile && !isGiven(flagOf(name)) ? opt(name) : flagOf(name)));
}
