import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { HubOptions } from "../../src/checkpoints/hub-repository-node.ts";
import { loadDatasetTask } from "../../src/datasets/dataset-node.ts";
import { readParquet } from "../../src/datasets/parquet-node.ts";
import { UserError } from "../../src/errors.ts";
import type { Example } from "../../src/tasks/example.ts";
import { LocalHub } from "../support/local-hub.ts";
import { parquetFile as path } from "../support/parquet.ts";

/** A parquet file of one row. */
const rowOf = (row: Record<string, string | number>): Buffer =>
  Buffer.from(
    parquetWriteBuffer({ columnData: Object.entries(row).map(([name, value]) => ({ name, data: [value] })) }),
  );

describe("loadDatasetTask", () => {
  const local = new LocalHub();
  let hub: HubOptions;
  beforeAll(async () => {
    await local.start();
    hub = { endpoint: local.endpoint, cache: await mkdtemp(join(tmpdir(), "aflora-dataset-")), offline: false };
    const parts = ["train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001"];
    const cola = await Promise.all(parts.map((part) => readFile(path(`cola-${part}`))));
    const unlabelled = await readFile(path("unlabelled-train"));
    const glue = {
      ...Object.fromEntries(parts.map((part, i) => [`cola/${part}.parquet`, cola[i]!])),
      "cola/test-00000-of-00001.parquet": unlabelled,
      "stsb/train-00000-of-00001.parquet": await readFile(path("stsb-train")),
    };
    local.repositories.push(
      { kind: "dataset", name: "owner/glue", files: glue, large: Object.keys(glue) },
      { kind: "dataset", name: "owner/tagged", files: { "data/train.parquet": await readFile(path("tagged-train")) } },
      {
        kind: "dataset",
        name: "owner/chat",
        files: { "data/train-00000-of-00001.parquet": await readFile(path("chat-train")) },
      },
      { kind: "dataset", name: "owner/unlabelled", files: { "train.parquet": unlabelled } },
      { kind: "dataset", name: "owner/test-only", files: { "test.parquet": unlabelled } },
      { kind: "dataset", name: "owner/pictures", files: { "train.parquet": await readFile(path("pictures")) } },
      { kind: "dataset", name: "owner/paths", files: { "train.parquet": await readFile(path("paths")) } },
      {
        kind: "dataset",
        name: "owner/mixed",
        files: {
          "train.parquet": rowOf({ anchor: "a", positive: "b" }),
          "validation.parquet": rowOf({ sentence1: "a", sentence2: "b", score: 0.5 }),
        },
      },
      { kind: "dataset", name: "owner/damaged", files: { "train.parquet": "no parquet" } },
    );
  });
  afterAll(async () => {
    await local.stop();
    await rm(hub.cache!, { recursive: true });
  });

  it("reads a GLUE task as GLUE defines it, with joined shards and named classes", async () => {
    const task = await loadDatasetTask({ dataset: "owner/glue", configuration: "cola" }, hub);
    expect(task).toMatchObject({
      name: "cola",
      kind: "classification",
      labels: ["unacceptable", "acceptable"],
      metrics: ["matthews_correlation"],
    });
    expect(task.train).toHaveLength(24);
    expect(task.train.at(0)).toEqual({
      index: 0,
      text: "One more pseudo generalization and I'm giving up.",
      label: 1,
    });
    expect(task.validation.map(({ name, examples }) => [name, examples.length])).toEqual([["validation", 12]]);
  });

  it("reads pairs with scores, and holds out rows if there is no validation split", async () => {
    const task = await loadDatasetTask({ dataset: "owner/glue", configuration: "stsb", validationSplit: 0.2 }, hub);
    expect(task).toMatchObject({ name: "stsb", kind: "regression", labels: [], metrics: ["pearson", "spearmanr"] });
    expect(task.train).toHaveLength(24);
    expect(task.validation[0]!.examples).toHaveLength(6);
    expect(task.train.at(0)).toMatchObject({
      text: "A plane is taking off.",
      textPair: "An air plane is taking off.",
      label: 5,
    });
  });

  it("reads words with tags", async () => {
    const task = await loadDatasetTask({ dataset: "owner/tagged", text: "tokens", label: "ner_tags" }, hub);
    expect(task).toMatchObject({
      name: "custom",
      kind: "token-classification",
      labels: ["O", "B-PER", "I-PER", "B-LOC"],
    });
    expect(task.train.at(0)).toMatchObject({ text: "Ada Lovelace lived in London .", labels: [1, 2, 0, 0, 3, 0] });
  });

  it("reads conversations, recognised by their column", async () => {
    const task = await loadDatasetTask({ dataset: "owner/chat", validationSplit: 0.2 }, hub);
    expect(task).toMatchObject({ kind: "language-model", labels: [], metrics: ["perplexity", "token_accuracy"] });
    expect([task.train.length, task.validation[0]!.examples.length]).toEqual([8, 2]);
    const all = [...task.train, ...task.validation[0]!.examples];
    for (const { text, messages } of all) {
      const number = Number(/\d+/.exec(text)![0]);
      expect(text).toBe(`What is ${number} plus 2?`);
      expect(messages).toEqual([
        { role: "user", content: text },
        { role: "assistant", content: `It is ${number + 2}.` },
      ]);
    }
  });

  it("reads pictures inside rows, and rejects paths only", async () => {
    const task = await loadDatasetTask({ dataset: "owner/pictures" }, hub);
    expect(task).toMatchObject({ kind: "image-classification", labels: ["rows", "columns"] });
    const [{ text, bytes }] = task.train as [Example];
    expect(text).toMatch(/^owner\/pictures\S*, split train, line \d+ \(\d+\.png\)$/);
    expect([...bytes!.subarray(1, 4)]).toEqual([..."PNG"].map((letter) => letter.charCodeAt(0)));
    await expect(loadDatasetTask({ dataset: "owner/paths" }, hub)).rejects.toThrow(
      /the rows of owner\/paths\S* have paths, such as photos\/\d\.png, and do not hold the pictures themselves/,
    );
  });

  it("reports problems of a data set", async () => {
    const refused = async (dataset: string, message: RegExp, more = {}) => {
      const error = await loadDatasetTask({ dataset, ...more }, hub).catch((each) => each);
      expect(error).toBeInstanceOf(UserError);
      expect(error.message).toMatch(message);
    };
    await refused("owner/unlabelled", /split train, line 1: no label in column "label"/);
    await refused("owner/test-only", /no split "train"/);
    await refused(
      "owner/mixed",
      /split validation holds pairs with a score, but the task's training file pairs or triplets/,
    );
    await refused("owner/damaged", /owner\/damaged, split train: cannot read .*parquet/);
    await refused(
      "owner/tagged",
      /has the columns id, tokens, ner_tags; name the column of the text with option "text"/,
      {
        label: "id",
      },
    );
    await refused("owner/glue", /no column "sentense".*did you mean "sentence"/, {
      configuration: "cola",
      text: "sentense",
      label: "sentence",
    });
  });
});

describe("readParquet", () => {
  it("converts class indices to names, and large integers to numbers", async () => {
    const { columns, rows, classNames } = await readParquet("cola", [path("cola-validation-00000-of-00001")]);
    expect(columns).toEqual(["sentence", "label", "idx"]);
    expect(classNames.get("label")).toEqual(["unacceptable", "acceptable"]);
    expect({ ...rows.at(0)!, cells: [...rows.at(0)!.cells] }).toEqual({
      line: 1,
      cells: [expect.any(String), "acceptable", 0],
    });
  });

  it("rejects files that are too large for memory", async () => {
    const large = join(await mkdtemp(join(tmpdir(), "aflora-large-")), "large.parquet");
    await writeFile(large, "");
    await truncate(large, 2 ** 32 + 1);
    await expect(readParquet(large, [large])).rejects.toThrow(`cannot read ${large}: 4.3 GB are too much`);
    await rm(large);
  });
});
