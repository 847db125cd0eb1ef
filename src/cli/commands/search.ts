import { Command } from "commander";
import { bundledUnless } from "../../base-models/bundled-model.ts";
import { readCorpus } from "../../datasets/retrieval-set-node.ts";
import { UserError } from "../../errors.ts";
import { loadAskedModel } from "../../inference/load-fine-tuned-model-node.ts";
import { unitVectors } from "../../inference/retrieval/embed-texts.ts";
import { readNpy } from "../../inference/retrieval/vector-files-node.ts";
import { askingOptions } from "../../preparation/run-options-node.ts";
import type { DeviceName } from "../../runtime/device.ts";
import { runtimeFor } from "../../runtime/runtime-for-node.ts";
import { embeddingKind } from "../../tasks/task-kinds.ts";
import { nearest, unitVector } from "../../tasks/vectors.ts";
import { type BaseFlags, baseOptions, noteBaseFormat } from "../base-flags.ts";
import { addExamples } from "../help.ts";
import { addSchemaOptions, givenOptions, numberOption } from "../schema-options.ts";
import { print } from "../terminal/print.ts";
import { ProgressLine, whilePending } from "../terminal/progress-line.ts";

const EXAMPLES = [
  'aflora search --corpus faq.jsonl "I cannot log in"',
  'aflora search --run runs/search --corpus faq.jsonl "I cannot log in"',
  'aflora search --run runs/search --corpus faq.jsonl --vectors faq.npy --top 3 --json "I cannot log in"',
  "aflora search --model onnx-community/dinov2-small --corpus photos like-this.jpg",
];

interface Given extends BaseFlags {
  run?: string;
  corpus: string;
  text?: string;
  vectors?: string;
  top?: number;
  json?: boolean;
  device?: DeviceName;
  threads?: number;
}

/** `aflora search` */
export function searchCommand(): Command {
  const command = new Command("search")
    .argument("<query...>", "text to search for, or the path of a picture")
    .option("--run <dir>", "run folder of an embedding model")
    .option(
      "--model <name>",
      "model to use without training (default: the bundled encoder); with --run, base model instead of the one named there",
    )
    .requiredOption(
      "--corpus <file>",
      "file of texts: JSONL, CSV or TSV with text and optionally _id and title, or one text per line; for pictures, a folder or a file of paths",
    )
    .option("--text <column>", "column of the text")
    .option("--vectors <file>", "vectors of the corpus, written by aflora embed --output FILE.npy")
    .addOption(numberOption("--top <n>", "number of results (default: 10)"))
    .option("--json", "print JSON Lines");
  addSchemaOptions(command, askingOptions, "Options");
  return addExamples(command, EXAMPLES).action(async (query: string[]) => {
    const {
      run,
      model: named,
      base,
      corpus,
      text,
      vectors: file,
      top = 10,
      json,
      ...where
    } = givenOptions<Given>(command);
    if (!Number.isInteger(top) || top < 1) throw new UserError("--top must be a whole number, at least 1");
    const from = { ...baseOptions({ base, offline: where.offline }), kind: embeddingKind().name };
    const model = await whilePending(
      "loading the model",
      loadAskedModel({ run, model: named ?? bundledUnless(run) }, runtimeFor(where), from),
    );
    const progress = new ProgressLine("computing vectors", model.kind.reads ?? "texts");
    try {
      noteBaseFormat(model.base, { base });
      const texts = await readCorpus(corpus, text, model.kind);
      const stored = file === undefined ? undefined : await readNpy(file);
      if (stored && stored.length !== texts.length) {
        throw new UserError(
          `${file} holds ${stored.length} vectors, but ${corpus} ${texts.length} texts; embed it again`,
        );
      }
      const options = { onProgress: (done: number) => progress.at(done, { of: texts.length }) };
      const [asked] = await model.embed([query.join(" ")]);
      const size = stored?.[0]?.length;
      if (size !== undefined && size > asked!.length) {
        throw new UserError(
          `${file} holds vectors of ${size} numbers, but the model's have ${asked!.length}; embed it again`,
        );
      }
      const all = texts.map((each) => each.text);
      const vectors = stored?.map((vector) => unitVector(vector)) ?? (await unitVectors(model, all, options));
      progress.end();
      for (const { index, score } of nearest(unitVector(asked!, size), vectors, top)) {
        const { id, text: found } = texts[index]!;
        const line = json
          ? JSON.stringify({ id, score, text: found })
          : [score.toFixed(4), id, ...(found === id ? [] : [found.replace(/\s+/g, " ")])].join("\t");
        print(`${line}\n`);
      }
    } finally {
      await model.release();
    }
  });
}
