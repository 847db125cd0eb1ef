import { readFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { Command } from "commander";
import { z } from "zod";
import { checkOptions, UserError } from "../../errors.ts";
import type { Adapter } from "../../inference/adapter.ts";
import { AdapterHost } from "../../inference/adapter-host.ts";
import { loadBaseModel } from "../../inference/load-base-model-node.ts";
import { untunedAdapter } from "../../inference/untuned-adapter-node.ts";
import { writesTexts } from "../../runs/load-fine-tuned-model.ts";
import { formatToAnswer } from "../../runs/memory-fit.ts";
import { type BaseOptions, openAdapter } from "../../runs/open-adapter.ts";
import { askingOptions, computeOptions } from "../../runs/run-config.ts";
import { runtimeFor } from "../../runs/runtime-for.ts";
import type { DeviceName } from "../../runtime/device.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { ServedModels } from "../../serving/model-service.ts";
import { serveModels } from "../../serving/openai-server.ts";
import { type BaseFlags, baseOptions, noteBaseFormat } from "../base-flags.ts";
import { addExamples } from "../help.ts";
import { leaveOpen, NONE_OF_THESE, type OpenAnswers, THRESHOLD } from "../open-answers.ts";
import { portOption } from "../port-option.ts";
import { addSchemaOptions, givenOptions } from "../schema-options.ts";
import { untilStopSignal } from "../terminal/stop-signals.ts";

/** What requests call the base model as it is. */
const BASE = "base";

const EXAMPLES = [
  "aflora serve --run runs/support",
  "aflora serve --model SmolLM2-135M-Instruct",
  "aflora serve --run runs/support --run runs/tickets --port 8080 --key-file key.txt",
];

const NOTE = `Send the requests of OpenAI's API to the address that it prints: /v1/models, /v1/chat/completions,
/v1/completions and /v1/embeddings. Rerankers answer at /v1/rerank, as with Cohere and Jina, and
models that label texts at /v1/classify. A model has the name of its run folder. The server accepts
requests from this machine only.`;

const serveOptions = z.object({
  port: portOption(8080),
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
      "run folder or adapter folder; repeat it to serve several models over one base model",
      collect,
    )
    .option("--model <name>", "model to serve as it is; with --run, base model to use instead of the one named there")
    .option("--with-base", `serve the base model as it is beside the runs, as "${BASE}"`)
    .option("--threshold <p>", `${THRESHOLD} (classifiers only)`)
    .option("--none-of-these <share>", `${NONE_OF_THESE} (classifiers only)`, Number);
  addSchemaOptions(command, serveOptions, "Serving");
  addSchemaOptions(command, askingOptions, "Options");
  return addExamples(command, EXAMPLES, NOTE).action(async () => {
    const {
      run = [],
      withBase,
      model,
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
    const asked = { model, base, offline };
    const { host, models } = await loadModels({ run, withBase }, baseOptions(asked), runtime);
    try {
      noteBaseFormat(host.base, asked);
      for (const each of models.values()) leaveOpen(each, { threshold, noneOfThese });
      const log = (line: string): unknown => process.stderr.write(`${line}\n`);
      const server = await serveModels(models, { ...options, key, log });
      process.stderr.write(`serving ${[...models.keys()].join(", ")} at ${server.url}\n`);
      await untilStopSignal();
      await server.close();
    } finally {
      await host.release();
    }
  });
}

interface ServeCommandOptions extends BaseFlags, OpenAnswers {
  run?: string[];
  withBase?: boolean | undefined;
  keyFile?: string;
  device?: DeviceName;
  threads?: number;
}

const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];

/**
 * Loads adapters over their one base model, each by its folder's name; or without any the model as it is, by its own.
 * @throws UserError where nothing is named, they are over different base models, or two have one name.
 */
async function loadModels(
  { run: directories, withBase }: { run: readonly string[]; withBase: boolean | undefined },
  options: BaseOptions,
  runtime: Runtime,
): Promise<{ host: AdapterHost; models: ServedModels }> {
  const adapters: { name: string; adapter: Adapter }[] = [];
  for (const directory of directories) {
    const name = basename(resolve(directory));
    if (adapters.some((other) => other.name === name)) {
      throw new UserError(
        `two of the runs are called "${name}"; rename one's folder, since it is what requests ask for`,
      );
    }
    adapters.push({ name, adapter: await openAdapter(directory, options) });
  }
  if (adapters.length === 0) {
    const { model, ...hub } = options;
    if (model === undefined) throw new UserError("give --run DIR, or --model NAME to serve a model as it is");
    adapters.push({ name: basename(model, ".gguf"), adapter: await untunedAdapter(model, hub) });
  } else if (withBase) {
    const { model, revision } = adapters[0]!.adapter.description;
    adapters.push({ name: BASE, adapter: await untunedAdapter(model, { ...options, ...(revision && { revision }) }) });
  }
  const [first, ...others] = adapters.map(({ adapter }) => adapter.description);
  const other = others.find(({ model, revision }) => model !== first!.model || revision !== first!.revision);
  if (other) {
    throw new UserError(
      `the runs have different base models, ${first!.model} and ${other.model}; serve them separately`,
    );
  }
  const { model, revision, base: trained } = first!;
  const writes = adapters.every(({ adapter }) => writesTexts(adapter.description.task));
  const format = options.base ?? formatToAnswer({ trained, writes });
  const base = await loadBaseModel(model, undefined, 0, { ...options, format, ...(revision && { revision }) });
  const host = new AdapterHost(base, runtime);
  for (const { name, adapter } of adapters) await host.add(name, adapter);
  return { host, models: new Map(host.names.map((name) => [name, host.use(name)])) };
}

async function readKey(file: string): Promise<string> {
  const key = (await readFile(file, "utf8").catch(() => undefined))?.trim();
  if (!key) throw new UserError(`${file} holds no key; write one line of text into it`);
  return key;
}
