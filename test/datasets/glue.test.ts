import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadGlueTask } from "../../src/datasets/glue-node.ts";
import { UserError } from "../../src/errors.ts";
import { GLUE_TASKS } from "../../src/tasks/glue.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-glue-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Writes a folder of TSV files, each a list of rows, and returns its path. */
async function files(name: string, content: Record<string, string[][]>): Promise<string> {
  for (const [file, rows] of Object.entries(content)) {
    const path = join(folder, name, file);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, rows.map((row) => `${row.join("\t")}\n`).join(""));
  }
  return join(folder, name);
}

describe("official layouts", () => {
  it("has eight tasks", () => {
    expect([...GLUE_TASKS.keys()]).toEqual(["cola", "sst2", "mrpc", "stsb", "rte", "qnli", "mnli", "qqp"]);
  });

  it("reads CoLA, which has no header", async () => {
    const rows = [
      ["gj04", "1", "", "They drank the pub dry."],
      ["gj04", "0", "*", 'They "drank the pub.'],
    ];
    const directory = await files("cola", { "CoLA/train.tsv": rows, "CoLA/dev.tsv": rows });
    const task = await loadGlueTask("CoLA", directory);
    expect(task).toEqual({
      name: "cola",
      kind: "classification",
      labels: ["unacceptable", "acceptable"],
      metrics: ["matthews_correlation"],
      train: [
        { index: 0, text: "They drank the pub dry.", label: 1 },
        { index: 1, text: 'They "drank the pub.', label: 0 },
      ],
      validation: [{ name: "validation", examples: task.train }],
      origin: { files: [join(directory, "CoLA", "train.tsv"), join(directory, "CoLA", "dev.tsv")] },
    });
  });

  it("reads QNLI from the task's own files", async () => {
    const rows = [
      ["index", "question", "sentence", "label"],
      ["0", "When?", "In 1900.", "entailment"],
      ["1", "Where?", "Later.", "not_entailment"],
    ];
    const task = await loadGlueTask("qnli", await files("qnli", { "train.tsv": rows, "dev.tsv": rows }));
    expect(task.labels).toEqual(["entailment", "not_entailment"]);
    expect(task.train.at(0)).toEqual({ index: 0, text: "When?", textPair: "In 1900.", label: 0 });
    expect(task.train.at(1)!.label).toBe(1);
  });

  it("reads MNLI's two validation splits, which have more columns than the training file", async () => {
    const before = ["index", "promptID", "pairID", "genre", "b1", "b2", "p1", "p2", "sentence1", "sentence2"];
    const row = (...labels: string[]) => [...before.map((name) => `${name}!`), ...labels];
    const dev = [[...before, "label1", "label2", "gold_label"], row("neutral", "neutral", "contradiction")];
    const directory = await files("mnli", {
      "MNLI/train.tsv": [[...before, "label1", "gold_label"], row("neutral", "neutral"), row("x", "entailment")],
      "MNLI/dev_matched.tsv": dev,
      "MNLI/dev_mismatched.tsv": [...dev, row("", "", "neutral")],
    });
    const task = await loadGlueTask("MNLI", directory);
    expect(task.labels).toEqual(["entailment", "neutral", "contradiction"]);
    expect(task.train.map(({ label }) => label)).toEqual([1, 0]);
    expect(task.validation.map(({ name, examples }) => [name, examples.length])).toEqual([
      ["validation_matched", 1],
      ["validation_mismatched", 2],
    ]);
    expect(task.validation[0]!.examples.at(0)).toEqual({
      index: 0,
      text: "sentence1!",
      textPair: "sentence2!",
      label: 2,
    });
  });

  it("skips truncated rows of QQP, but keeps a pair with one empty question", async () => {
    const rows = [
      ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"],
      ["1", "3", "4", "Why?", "", "0"],
      ["2", "5", "6", "How"],
      ["3", "7", "8", "Who?", "Who is it?", "1"],
    ];
    const task = await loadGlueTask("qqp", await files("qqp", { "QQP/train.tsv": rows, "QQP/dev.tsv": rows }));
    expect(task.metrics).toEqual(["accuracy", "f1"]);
    expect(task.labels).toEqual(["not_duplicate", "duplicate"]);
    expect(task.train).toEqual([
      { index: 0, text: "Why?", textPair: "", label: 0 },
      { index: 1, text: "Who?", textPair: "Who is it?", label: 1 },
    ]);
  });

  it("reads Microsoft's MRPC, split by GLUE's list", async () => {
    const content = {
      "msr_paraphrase_train.txt": [
        ["\uFEFFQuality", "#1 ID", "#2 ID", "#1 String", "#2 String"],
        ["1", "10", "11", "a", "b"],
        ["0", "20", "21", "c", "d"],
        ["1", "30", "31", "e", "f"],
      ],
    };
    const directory = await files("mrpc", content);
    await expect(loadGlueTask("mrpc", directory)).rejects.toThrow(`no such file: ${join(directory, "dev_ids.tsv")}`);
    await files("mrpc", { "dev_ids.tsv": [["20", "21"]] });
    const task = await loadGlueTask("mrpc", directory);
    expect(task.metrics).toEqual(["f1", "accuracy"]);
    expect(task.train.map(({ text }) => text)).toEqual(["a", "e"]);
    expect(task.validation[0]!.examples).toEqual([{ index: 0, text: "c", textPair: "d", label: 0 }]);
    const read = ["msr_paraphrase_train.txt", "dev_ids.tsv"].map((file) => join(directory, file));
    expect(task.origin).toEqual({ files: read });
  });
});

describe("rejects bad input in one sentence", () => {
  const refuses = async (name: string, directory: string, message: string) => {
    const error = await loadGlueTask(name, directory).catch((reason) => reason);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message.replaceAll(folder, "data")).toBe(message);
  };

  it("an unknown task, a missing folder or file, a truncated row, an unknown label", async () => {
    await refuses(
      "sst3",
      folder,
      'unknown GLUE task "sst3"; there are cola, sst2, mrpc, stsb, rte, qnli, mnli, qqp; did you mean "sst2"?',
    );
    await refuses(
      "constructor",
      folder,
      'unknown GLUE task "constructor"; there are cola, sst2, mrpc, stsb, rte, qnli, mnli, qqp',
    );
    await refuses("sst2", join(folder, "nowhere"), "no such folder: data/nowhere");
    const header = ["sentence", "label"];
    const directory = await files("bad", { "SST-2/train.tsv": [header, ["fine", "1"], ["cut"]] });
    await refuses("rte", directory, "no such file: data/bad/train.tsv");
    await refuses(
      "sst-2",
      directory,
      "data/bad/SST-2/train.tsv, line 3: 1 field, too few: the header has 2 (sentence, label)",
    );
    await files("bad", { "SST-2/train.tsv": [header, ["fine", "1"]], "SST-2/dev.tsv": [header, ["bad", "2"]] });
    await refuses(
      "SST2",
      directory,
      'data/bad/SST-2/dev.tsv, line 2: unknown label "2" in column "label"; the task\'s labels are 0, 1',
    );
  });
});

const real = fileURLToPath(new URL("../../../shared/data/glue", import.meta.url));

// The data are next to the checkout; without them, the test is skipped.
describe.skipIf(!existsSync(real))("the real files", () => {
  it.each([
    ["cola", 8551, 1043],
    ["sst-2", 67349, 872],
    ["mrpc", 3667, 408],
    ["sts-b", 5749, 1500],
    ["rte", 2490, 277],
  ])("%s: %i training and %i validation examples", async (name, train, validation) => {
    const task = await loadGlueTask(name, real);
    expect(task.train.length).toBe(train);
    expect(task.validation.map(({ examples }) => examples.length)).toEqual([validation]);
    const seen = new Set(task.train.map(({ label }) => label));
    if (task.kind === "classification") expect(seen.size).toBe(task.labels.length);
    else expect([Math.min(...(seen as Set<number>)), Math.max(...(seen as Set<number>))]).toEqual([0, 5]);
  });
});
