import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { z } from "zod";
import { checkOptions, UserError } from "../../errors.ts";
import { loadSeveralModels } from "../../inference/load-several-models-node.ts";
import { askingOptions } from "../../preparation/run-options-node.ts";
import { computeOptions } from "../../runtime/compute-options.ts";
import type { DeviceName } from "../../runtime/device.ts";
import { runtimeFor } from "../../runtime/runtime-for-node.ts";
import { serveModels } from "../../serving/openai-server.ts";
import { type BaseFlags, baseOptions, noteBaseFormat } from "../base-flags.ts";
import { addExamples } from "../help.ts";
import { leaveOpen, NONE_OF_THESE, type OpenAnswers, THRESHOLD } from "../open-answers.ts";
import { portOption } from "../port-option.ts";
import { addSchemaOptions, givenOptions, numberOption } from "../schema-options.ts";
import { say } from "../terminal/print.ts";
import { whilePending } from "../terminal/progress-line.ts";
import { untilStopSignal } from "../terminal/stop-signals.ts";

const EXAMPLES = [
  "aflora serve --run runs/support",
  "aflora serve --model HuggingFaceTB/SmolLM2-135M-Instruct",
  "aflora serve --run runs/support --run runs/tickets --port 8080 --key-file key.txt",
];

const NOTE = `Send requests of OpenAI's API to the address that the server prints: /v1/models,
/v1/chat/completions, /v1/completions, /v1/responses and /v1/embeddings. Rerankers answer at
/v1/rerank, as with Cohere and Jina, and models that label texts at /v1/classify. A model has the
name of its run folder. /health, /ready and /metrics (Prometheus) are for orchestrators. Unless
--host is given, the server accepts requests from this machine only.`;

const serveOptions = z.object({
  port: portOption(8080),
  host: z
    .string()
    .min(1)
    .optional()
    .describe(
      "address to listen at, such as 0.0.0.0 in a container; other machines then need a key (default: 127.0.0.1)",
    ),
  keyFile: z
    .string()
    .min(1)
    .optional()
    .describe(
      "file with the key that requests must send as Authorization: Bearer KEY (default: the environment variable AFLORA_KEY)",
    ),
  maxNewTokens: z.int().positive().default(512).describe("limit on tokens per answer"),
  maxWaiting: z.int().positive().default(64).describe("limit on requests in progress or waiting"),
  maxBodyBytes: z.int().positive().default(1_000_000).describe("limit on a request's body in bytes"),
});

/** `aflora serve` */
export function serveCommand(): Command {
  const command = new Command("serve")
    .option(
      "--run <dir>",
      "run folder or adapter folder, may be repeated; runs with the same base model share it in memory",
      collect,
    )
    .option(
      "--model <name>",
      "model to serve without training, may be repeated; with --run, base model to use instead of the one named there",
      collect,
    )
    .option("--with-base", 'also serve the base model of the runs, as "base" (if there are several, as "base-NAME")')
    .option("--threshold <p>", `${THRESHOLD} (classifiers only)`)
    .addOption(numberOption("--none-of-these <share>", `${NONE_OF_THESE} (classifiers only)`));
  addSchemaOptions(command, serveOptions, "Serving");
  addSchemaOptions(command, askingOptions, "Options");
  return addExamples(command, EXAMPLES, NOTE).action(async () => {
    const {
      run = [],
      withBase,
      model = [],
      base,
      offline,
      device,
      threads,
      threshold,
      noneOfThese,
      ...given
    } = givenOptions<ServeCommandOptions>(command);
    const { keyFile, ...options } = checkOptions(serveOptions, given);
    const key = keyFile === undefined ? process.env.AFLORA_KEY : await readKey(keyFile);
    const runtime = runtimeFor(checkOptions(computeOptions.partial(), { device, threads }));
    const asked = { runs: run, models: model, withBase };
    const { models, release } = await whilePending(
      "loading the models",
      loadSeveralModels(asked, baseOptions({ base, offline }), runtime),
    );
    try {
      const formats = new Set([...models.values()].map(({ base: { format } }) => format));
      for (const format of formats) noteBaseFormat({ format }, { base });
      for (const each of models.values()) leaveOpen(each, { threshold, noneOfThese });
      const log = (line: string): unknown => say(`${line}\n`);
      const server = await serveModels(models, { ...options, key, log });
      say(`serving ${[...models.keys()].join(", ")} at ${server.url}\n`);
      await untilStopSignal();
      await server.close();
    } finally {
      await release();
    }
  });
}

interface ServeCommandOptions extends Omit<BaseFlags, "model">, OpenAnswers {
  run?: string[];
  model?: string[];
  withBase?: boolean | undefined;
  keyFile?: string;
  device?: DeviceName;
  threads?: number;
}

const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];

async function readKey(file: string): Promise<string> {
  const key = (await readFile(file, "utf8").catch(() => undefined))?.trim();
  if (!key) throw new UserError(`${file} holds no key; write one line of text into it`);
  return key;
}
