import { createInterface } from "node:readline";
import { Command } from "commander";
import { bundledUnless } from "../../base-models/bundled-model.ts";
import { readInputs } from "../../datasets/texts-node.ts";
import { UserError } from "../../errors.ts";
import { loadAskedModel } from "../../inference/load-fine-tuned-model-node.ts";
import { embedStream } from "../../inference/retrieval/embed-texts.ts";
import { type VectorParts, vectorLine, writeVectors } from "../../inference/retrieval/vector-files-node.ts";
import { askingOptions } from "../../preparation/run-options-node.ts";
import type { DeviceName } from "../../runtime/device.ts";
import { runtimeFor } from "../../runtime/runtime-for-node.ts";
import { embeddingKind } from "../../tasks/task-kinds.ts";
import { type BaseFlags, baseOptions, noteBaseFormat } from "../base-flags.ts";
import { addExamples } from "../help.ts";
import { INTERRUPTED } from "../run-training.ts";
import { addSchemaOptions, givenOptions, numberOption } from "../schema-options.ts";
import { print } from "../terminal/print.ts";
import { ProgressLine, whilePending, whileReading } from "../terminal/progress-line.ts";
import { onStopSignal } from "../terminal/stop-signals.ts";

const EXAMPLES = [
  'aflora embed "My card was charged twice"',
  'aflora embed --run runs/search "My card was charged twice"',
  "aflora embed --run runs/search --file corpus.jsonl --output corpus.npy",
  "aflora embed --model onnx-community/dinov2-small --file photos --output photos.npy",
  "cat texts.txt | aflora embed --run runs/search --dimensions 128 > vectors.jsonl",
];

interface Given extends BaseFlags {
  run?: string;
  file?: string;
  text?: string;
  output?: string;
  dimensions?: number;
  device?: DeviceName;
  threads?: number;
}

/** `aflora embed` */
export function embedCommand(): Command {
  const command = new Command("embed")
    .argument("[texts...]", "texts to embed, or paths of pictures")
    .option("--run <dir>", "run folder, or its adapter folder")
    .option(
      "--model <name>",
      "model to use without training (default: the bundled encoder); with --run, base model instead of the one named there",
    )
    .option("--file <file>", "texts from a CSV, TSV, JSONL, parquet or TXT file, or a folder of pictures")
    .option("--text <column>", "column of the text in that file")
    .option("--output <file>", "file to write: .jsonl, .npy or .parquet (default: JSON Lines on stdout)")
    .addOption(numberOption("--dimensions <n>", "truncate vectors to this size and scale them to length 1"));
  addSchemaOptions(command, askingOptions, "Options");
  return addExamples(command, EXAMPLES).action(async (texts: string[]) => {
    const { run, model: named, base, file, text, output, dimensions, ...where } = givenOptions<Given>(command);
    if (file !== undefined && texts.length > 0) throw new UserError("give texts or --file, not both");
    const from = { ...baseOptions({ base, offline: where.offline }), kind: embeddingKind().name };
    const model = await whilePending(
      "loading the model",
      loadAskedModel({ run, model: named ?? bundledUnless(run) }, runtimeFor(where), from),
    );
    let progress: ProgressLine | undefined;
    try {
      noteBaseFormat(model.base, { base });
      const read =
        file === undefined
          ? undefined
          : await whileReading(file, (onRead) => readInputs(file, text, model.kind, onRead));
      const given = texts.length > 0 ? texts : read;
      progress = new ProgressLine("computing vectors", model.kind.reads ?? "texts", given?.length);
      const onProgress = (done: number): void => progress?.at(done);
      await writeUntilStopped(output, (signal) =>
        embedStream(model, given ?? stdinLines(signal), { dimensions, signal, onProgress }),
      );
    } finally {
      progress?.end();
      await model.release();
    }
  });
}

/** Writes vectors to a file, or as lines to stdout. Ctrl-C ends this, and removes the unfinished file. */
async function writeUntilStopped(
  output: string | undefined,
  partsUntil: (signal: AbortSignal) => VectorParts,
): Promise<void> {
  const abort = new AbortController();
  const stopListening = onStopSignal(() => abort.abort());
  const parts = partsUntil(abort.signal);
  try {
    if (output !== undefined) return await writeVectors(output, parts);
    for await (const { texts, vectors } of parts) {
      print(texts.map((text, i) => vectorLine(text, vectors[i]!)).join(""));
    }
  } catch (error) {
    if (!abort.signal.aborted || error !== abort.signal.reason) throw error;
    process.exitCode = INTERRUPTED;
  } finally {
    stopListening();
  }
}

/** Lines of stdin, at most until the signal. @throws UserError if stdin is a terminal */
async function* stdinLines(signal: AbortSignal): AsyncGenerator<string> {
  if (process.stdin.isTTY) throw new UserError("nothing to embed: give texts, --file FILE, or text on stdin");
  yield* createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY, signal });
}
