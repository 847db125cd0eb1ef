import { createInterface } from "node:readline";
import { Command } from "commander";
import { checkOptions, UserError } from "../../errors.ts";
import type { FineTunedModel } from "../../inference/fine-tuned-model.ts";
import { generationOptions } from "../../inference/generation/generation-options.ts";
import { loadAskedModel } from "../../inference/load-fine-tuned-model-node.ts";
import type { AnswerOptions } from "../../inference/write-answers.ts";
import type { ChatMessage } from "../../inputs/chat-template.ts";
import { askingOptions } from "../../preparation/run-options-node.ts";
import type { DeviceName } from "../../runtime/device.ts";
import { runtimeFor } from "../../runtime/runtime-for-node.ts";
import { type BaseFlags, baseOptions, noteBaseFormat } from "../base-flags.ts";
import { addExamples, inFlags } from "../help.ts";
import { givenSchema, JSON_SCHEMA } from "../json-schema-option.ts";
import { addSchemaOptions, givenOptions } from "../schema-options.ts";
import { print, say } from "../terminal/print.ts";
import { whilePending } from "../terminal/progress-line.ts";

const EXAMPLES = [
  "aflora chat --model HuggingFaceTB/SmolLM2-135M-Instruct",
  "aflora chat --run runs/dialogsum",
  'aflora chat --run runs/support --system "You are short and kind." --temperature 0.7',
  'echo "What is 17 plus 25?" | aflora chat --run runs/gsm8k',
];

const HELP = "/reset clears the conversation, Ctrl-C stops an answer, and /exit or Ctrl-D quits";

/** `aflora chat` */
export function chatCommand(): Command {
  const command = new Command("chat")
    .option("--run <dir>", "run folder, or its adapter folder")
    .option("--adapter <dir>", "adapter folder instead of --run, for example one made by Hugging Face PEFT")
    .option(
      "--model <name>",
      "model to use without training; with --run or --adapter, base model to use instead of the one named there",
    )
    .option("--system <text>", "system message for the model")
    .option("--json-schema <file>", JSON_SCHEMA);
  addSchemaOptions(
    command,
    generationOptions.omit({ numBeams: true, lengthPenalty: true, earlyStopping: true }),
    "Answers",
  );
  addSchemaOptions(command, askingOptions, "Options");
  return addExamples(command, EXAMPLES, HELP).action(async () => {
    const {
      run,
      adapter,
      model: named,
      base,
      system,
      device,
      threads,
      offline,
      jsonSchema: schemaFile,
      ...writing
    } = givenOptions<ChatOptions>(command);
    checkOptions(generationOptions, writing);
    const schema = await givenSchema(schemaFile);
    const asked = { model: named, base, offline };
    const model = await whilePending(
      "loading the model",
      loadAskedModel({ run, adapter, model: named }, runtimeFor({ device, threads }), baseOptions(asked)),
    );
    try {
      noteBaseFormat(model.base, asked);
      if (!model.writes) {
        throw new UserError(
          `the model is for ${model.kind.name} and does not write answers; use aflora ${model.embeds ? "embed" : "predict"}`,
        );
      }
      await talk(model, system, { ...writing, ...schema, alone: true });
    } finally {
      await model.release();
    }
  });
}

interface ChatOptions extends Omit<AnswerOptions, "jsonSchema">, BaseFlags {
  jsonSchema?: string;
  run?: string;
  adapter?: string;
  system?: string;
  device?: DeviceName;
  threads?: number;
}

/** Asks and answers in turn until the input ends. */
async function talk(model: FineTunedModel, system: string | undefined, options: AnswerOptions): Promise<void> {
  const first: ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }];
  let history = [...first];
  const terminal = process.stdin.isTTY === true;
  const lines = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal,
    prompt: terminal ? "> " : "",
  });
  let answering: AbortController | undefined;
  lines.on("SIGINT", () => {
    if (answering) return answering.abort();
    say(`\n${HELP}\n`);
    lines.prompt();
  });
  if (terminal) say(`${HELP}\n`);
  lines.prompt();
  for await (const line of lines) {
    const said = line.trim();
    if (said === "/exit") break;
    if (said === "/reset") history = [...first];
    else if (said.startsWith("/")) say(`${HELP}\n`);
    else if (said !== "") {
      answering = new AbortController();
      const asked = [...history, { role: "user", content: said }];
      try {
        const answer = await show(model.answer(asked, { ...options, signal: answering.signal }));
        history = [...asked, { role: "assistant", content: answer }];
      } catch (error) {
        // An error, such as a conversation that became too long, does not end the conversation.
        if (!(error instanceof UserError)) throw error;
        say(`error: ${inFlags(error.message)} (${HELP})\n`);
      }
      answering = undefined;
    }
    lines.prompt();
  }
  lines.close();
}

/** Prints an answer as it is generated. @returns the whole answer */
async function show(answer: AsyncIterable<string>): Promise<string> {
  let text = "";
  for await (const piece of answer) {
    text += piece;
    print(piece);
  }
  print("\n");
  return text;
}
