/** Reads fuzzed files of some kinds, one after another; tells its parent of each that begins, and what is not as it should be. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describeModel } from "../../src/architectures/families.ts";
import { readModelWeights } from "../../src/architectures/model-weights.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { loadAdapter } from "../../src/base-models/adapter-folder-node.ts";
import { openAdapter } from "../../src/base-models/open-adapter-node.ts";
import { fileSource, folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { openModelFolder } from "../../src/checkpoints/model-folder.ts";
import { modelFiles } from "../../src/checkpoints/model-folder-node.ts";
import { openPickle } from "../../src/checkpoints/pickle-node.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import { readTensors } from "../../src/checkpoints/tensor-source.ts";
import { readConfigFile } from "../../src/cli/config-file.ts";
import { readParquet } from "../../src/datasets/parquet-node.ts";
import { readTable } from "../../src/datasets/read-table-node.ts";
import { UserError } from "../../src/errors.ts";
import { ChatTemplate } from "../../src/inputs/chat-template.ts";
import { loadTokenizer } from "../../src/inputs/load-tokenizer.ts";
import { readVocabularyFiles } from "../../src/inputs/read-vocabulary-files.ts";
import { parseOptions } from "../../src/preparation/run-options-node.ts";
import { reportedRun } from "../../src/reports/report.ts";
import { runContent } from "../../src/reports/run-page.ts";
import { readCheckpoint } from "../../src/runs/checkpoint-file.ts";
import { readFinishedRun } from "../../src/runs/read-run.ts";
import { parseQueuedTrial } from "../../src/studies/queue/trial-queue.ts";
import { fineTune } from "../support/fine-tune.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";
import type { Grammar } from "./grammars/parts.ts";
import { fileOf, GRAMMARS } from "./grammars.ts";
import { mutate } from "./mutate.ts";
import { pick, randomOf } from "./program.ts";

export type FuzzMessage =
  | { reader: string; begins: number }
  | { wrong: string }
  | { reader: string; done: { read: number; refused: number; growth: number; slowest: number } };

/** Seconds of computing that an input may take. */
const PATIENCE = 5;

const fixture = (path: string): string => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));

/** A grammar's reader. */
const made = (file: string, grammar: Grammar, read: Reader["read"]): Reader => ({
  folder: "",
  files: [file],
  grammar,
  read,
});

interface Reader {
  /** Folder that is copied, and files in it of which one is changed each time. */
  folder: string;
  files: string[];
  /** What makes a file in place of changing one. */
  grammar?: Grammar;
  read(folder: string, file: string): Promise<unknown>;
}

/** Made of vocabulary files. */
const TOKENIZERS = "tokenizers";

/** A run that is trained here. */
const RUN = "run";

const tokenize = (folder: string, file: string): Promise<void> => sentence(dirname(join(folder, file)));

const sentence = async (folder: string): Promise<void> => {
  const tokenizer = await loadTokenizer(folderFiles(folder));
  tokenizer.encode("Money lost,  again: naïve 東京 … aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "a second text", 64);
};
const TABLE = 'text,label\n"a, b",x\nsecond,y\n';

const READERS: Record<string, Reader> = {
  safetensors: {
    folder: fixture("torch-files"),
    files: ["sound.safetensors"],
    read: async (folder, file) => readTensors(await openSafetensorsFile(join(folder, file))),
  },
  config: {
    folder: fixture("models/bert-1"),
    files: ["config.json"],
    read: async (folder) => traceModel(describeModel(JSON.parse(await json(join(folder, "config.json")))), 2),
  },
  tokenizer: { folder: TOKENIZERS, files: ["bert/tokenizer.json", "roberta/tokenizer.json"], read: tokenize },
  vocabulary: { folder: fixture("tokenizers/roberta"), files: ["vocab.json", "merges.txt"], read: sentence },
  "sentence pieces": { folder: fixture("tokenizers/xlm-roberta"), files: ["sentencepiece.bpe.model"], read: sentence },
  adapter: {
    folder: RUN,
    files: ["adapter/adapter.json", "adapter/adapter.safetensors"],
    read: (folder) => loadAdapter(join(folder, "adapter")),
  },
  PEFT: {
    folder: fixture("peft/lora-patterns"),
    files: ["adapter_config.json", "adapter_model.safetensors"],
    read: (folder) => openAdapter(folder, { model: join(folder, "model"), offline: true }),
  },
  checkpoint: {
    folder: RUN,
    files: ["checkpoints/step-0.safetensors"],
    read: (folder, file) => readCheckpoint(join(folder, file)),
  },
  GGUF: {
    folder: fixture("gguf"),
    files: ["llama3.gguf", "gemma3.gguf", "qwen3.gguf", "gpt2.gguf"],
    read: readGguf,
  },
  pickle: {
    folder: fixture("torch-files"),
    files: ["sound.bin", "legacy.bin", "protocol4.bin"],
    read: async (folder, file) => readTensors(await openPickle(await fileSource(join(folder, file)))),
  },
  table: {
    folder: "",
    files: ["a.csv", "a.tsv", "a.jsonl", "a.conll"],
    read: (folder, file) => readTable(join(folder, file), file.slice(2) as "csv"),
  },
  parquet: {
    folder: fixture("parquet"),
    files: ["cola-train-00000-of-00002.parquet", "stsb-train.parquet", "tagged-train.parquet"],
    read: (folder, file) => readParquet("train", [join(folder, file)]),
  },
  YAML: { folder: "", files: ["run.yaml"], read: (folder, file) => readConfigFile(join(folder, file)) },
  records: {
    folder: RUN,
    files: ["config.json", "metrics.jsonl", "freezing.jsonl", "result.json"],
    read: async (folder) => runContent(reportedRun(await readFinishedRun(folder))),
  },
  "tokenizer grammar": made("tokenizer.json", GRAMMARS.tokenizer, async (folder) => {
    (await loadTokenizer(folderFiles(folder))).encode(ENGLISH, "a second text", 64);
  }),
  "GGUF grammar": made("model.gguf", GRAMMARS.gguf, readGguf),
  "safetensors grammar": made("model.safetensors", GRAMMARS.safetensors, async (folder, file) =>
    readTensors(await openSafetensorsFile(join(folder, file))),
  ),
  "chat template grammar": made("chat_template.jinja", GRAMMARS.template, async (folder, file) => {
    const template = new ChatTemplate(
      { default: await readFile(join(folder, file), "utf8") },
      { bos_token: "<s>" },
      file,
    );
    template.renderTurns(CONVERSATION, { tools: [{ name: "look", parameters: {} }] });
  }),
  "job grammar": made("job.json", GRAMMARS.job, async (folder, file) => {
    const { label, config } = parseQueuedTrial(JSON.parse(await readFile(join(folder, file), "utf8")));
    if (/\p{Cc}/u.test(label)) throw new Error("a label that a terminal would obey");
    parseOptions(config);
  }),
};

/** 2,000 letters. */
const ENGLISH = "It's the end of the parcel's way: we'll see 12 of them, there.  \n".repeat(31).slice(0, 2000);
const CONVERSATION = ["Where is my parcel?", "On its way.", "When will it be here?", "Tomorrow."].map((content, i) => ({
  role: i % 2 ? "assistant" : "user",
  content,
}));

/** All that a GGUF file stands for: configuration, tokenizer and tensors. */
async function readGguf(folder: string, file: string): Promise<void> {
  const files = await modelFiles(join(folder, file));
  const { config, weights } = await openModelFolder(files);
  const description = describeModel(config);
  const trace = traceModel(description, description.config.vocabularySize, "languageModel");
  (await loadTokenizer(files)).encode("Money lost,  again: naïve 東京 … aaaaaaaaaaaaaaa!", undefined, 64);
  await readModelWeights(weights, description, trace);
}

/** A config's text, as its readers get it. */
async function json(path: string): Promise<string> {
  const text = await readFile(path, "utf8");
  try {
    JSON.parse(text);
  } catch {
    throw new UserError(`${path} is not valid JSON`);
  }
  return text;
}

async function prepare(home: string, { folder, files }: Reader): Promise<void> {
  if (folder === TOKENIZERS) {
    const [bert, roberta] = [
      folderFiles(await writeTinyModel(join(home, "model"))),
      folderFiles(fixture("tokenizers/roberta")),
    ];
    for (const [name, from] of Object.entries({ bert, roberta })) {
      await mkdir(join(home, name));
      await writeFile(join(home, name, "tokenizer.json"), JSON.stringify((await readVocabularyFiles(from))!.tokenizer));
    }
  } else if (folder === RUN) {
    const beside = `${home}-made-of`;
    await mkdir(beside);
    const model = await writeTinyModel(join(beside, "model"));
    const train = await writeCsv(join(beside, "tickets.csv"), tickets());
    const given = { model, train, text: "message", label: "team", epochs: 1, batchSize: 8, threads: 1 };
    await fineTune({ ...given, output: home });
    await rm(beside, { recursive: true });
  } else if (folder !== "") await cp(folder, home, { recursive: true });
  else {
    await writeFile(join(home, "a.csv"), TABLE);
    await writeFile(join(home, "a.tsv"), TABLE.replaceAll(",", "\t"));
    await writeFile(join(home, "a.jsonl"), '{"text":"a","label":1}\n{"text":"b","label":[2,3]}\n');
    await writeFile(join(home, "a.conll"), "EU B-ORG\nrejects O\n\nGerman B-MISC\n");
    await writeFile(join(home, "run.yaml"), "epochs: 3\ntrain: &a tickets.csv\nlabels: [*a, {b: c}]\ntext: |\n  x\n");
  }
  // The PEFT adapter of the fixtures adapts two blocks.
  if (files.includes("adapter_config.json")) await writeTinyModel(join(home, "model"), 2);
}

const send = (message: FuzzMessage): void => void process.send!(message);

/** What is read now. */
let now = "";
process.on("unhandledRejection", (error) => send({ wrong: `${now}: left unhandled: ${(error as Error).stack}` }));

async function fuzz(name: string, count: number, seed: number): Promise<void> {
  const reader = READERS[name]!;
  const random = randomOf(seed);
  const home = await mkdtemp(join(tmpdir(), "aflora-fuzz-"));
  try {
    await prepare(home, reader);
    const originals = new Map<string, Buffer>();
    if (!reader.grammar) for (const file of reader.files) originals.set(file, await readFile(join(home, file)));
    const before = process.memoryUsage.rss();
    const done = { read: 0, refused: 0, growth: 0, slowest: 0 };
    for (let i = 0; i < count; i++) {
      const file = pick(reader.files, random);
      const bytes = reader.grammar ? fileOf(reader.grammar, seed, i) : mutate(originals.get(file)!, random);
      now = `${name}, input ${i} of seed ${seed} (${file})`;
      await mkdir(dirname(join(home, file)), { recursive: true });
      await writeFile(join(home, file), bytes);
      send({ reader: name, begins: i });
      const started = process.cpuUsage();
      try {
        await reader.read(home, file);
        done.read++;
      } catch (error) {
        if (error instanceof UserError) done.refused++;
        else send({ wrong: `${now}: ${(error as Error).stack}` });
      }
      const { user, system } = process.cpuUsage(started);
      const seconds = (user + system) / 1e6;
      if (seconds > PATIENCE) send({ wrong: `${now}: ${seconds} seconds` });
      done.slowest = Math.max(done.slowest, seconds);
      const original = originals.get(file);
      if (original) await writeFile(join(home, file), original);
      done.growth = Math.max(done.growth, process.memoryUsage.rss() - before);
    }
    send({ reader: name, done });
  } finally {
    await rm(home, { recursive: true });
  }
}

if (process.send) {
  const [count, seed, ...names] = process.argv.slice(2);
  try {
    for (const name of names) await fuzz(name, Number(count), Number(seed));
  } finally {
    process.disconnect();
  }
}
