import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadFineTunedModel } from "../../../src/inference/load-fine-tuned-model-node.ts";
import { evaluateSearch } from "../../../src/inference/retrieval/evaluate-search-node.ts";
import { readNpy } from "../../../src/inference/retrieval/vector-files-node.ts";
import { searchMetric } from "../../../src/tasks/metrics/retrieval-metrics.ts";
import { unitVector } from "../../../src/tasks/vectors.ts";
import { Aflora, aflora, afloraHere, type Ended, expectRefusal } from "../../support/aflora.ts";
import { fineTune } from "../../support/fine-tune.ts";
import { runtime } from "../../support/runtime.ts";
import { tickets, writeTinyModel } from "../../support/tiny-model.ts";

const QUICK = {
  threads: 1,
  batchSize: 12,
  learningRate: 0.02,
  headLearningRate: 0.02,
  maxGradNorm: 1,
  method: "lora",
  rank: 4,
};

let home: string;
const at = (name: string): string => join(home, name);
const words = (command: string): string[] => command.split(" ").map((word) => word.replaceAll("_", " "));
const run = (command: string): Promise<Ended> => afloraHere(words(command), home);
const writeJsonl = (name: string, rows: readonly object[]): Promise<void> =>
  writeFile(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

const messages = tickets(2).map(({ message }) => message);
/** The answer to each query is the text with the same words in another order. */
const corpus = messages.map((text, i) => ({ _id: `d${i}`, title: i % 2 ? "" : "help", text }));
const queries = messages.slice(0, 12).map((text, i) => ({ _id: `q${i}`, text: text.split(" ").reverse().join(" ") }));

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-search-"));
  await writeTinyModel(at("model"), 2);
  await writeJsonl("corpus.jsonl", corpus);
  await writeJsonl("queries.jsonl", [...queries, { _id: "unasked", text: "late" }]);
  const qrels = queries.map(({ _id }, i) => `${_id}\td${i}\t1`);
  await writeFile(at("qrels.tsv"), `query-id\tcorpus-id\tscore\n${qrels.join("\n")}\nq0\td5\t0\n`);
  await writeJsonl(
    "pairs.jsonl",
    messages.map((anchor) => ({ anchor, positive: anchor.split(" ").reverse().join(" ") })),
  );
  await fineTune({ ...QUICK, model: at("model"), train: at("pairs.jsonl"), epochs: 4, output: at("run") });
  await writeJsonl(
    "graded.jsonl",
    messages.map((query, i) => ({ query, passage: messages[(i * 7) % 30], label: i % 2 })),
  );
  await fineTune({ ...QUICK, model: at("model"), train: at("graded.jsonl"), epochs: 1, output: at("reranker") });
});
afterAll(() => rm(home, { recursive: true }));

const FILES = "--corpus corpus.jsonl --queries queries.jsonl --qrels qrels.tsv";

describe("a corpus is searched", () => {
  test("with embeddings, compared with the model before training and BM25", async () => {
    const options = { corpus: at("corpus.jsonl"), queries: at("queries.jsonl"), qrels: at("qrels.tsv"), threads: 1 };
    const stages: [string, number, number][] = [];
    const found = await evaluateSearch(at("run"), { ...options, onStage: (...stage) => stages.push(stage) });
    // All texts, then all queries, in one part each.
    const tuned = stages.filter(([what]) => what === "fine-tuned");
    expect(tuned).toEqual([30, 42].map((done) => ["fine-tuned", done, 42]));
    expect([found.corpus, found.queries]).toEqual([30, 12]);
    expect(Object.keys(found.systems)).toEqual(["fine-tuned", "before training", "BM25"]);
    expect(found.systems["fine-tuned"]!.ndcg_at_10).toBeGreaterThan(found.systems["before training"]!.ndcg_at_10!);
    // The numbers equal those of a manual search.
    const model = await loadFineTunedModel(at("run"), runtime);
    const texts = await model.embed(corpus.map(({ title, text }) => (title ? `${title} ${text}` : text)));
    const asked = await model.embed(queries.map(({ text }) => text));
    await model.release();
    const outcomes = asked.map((query, q) => {
      const scores = texts.map((text) =>
        unitVector(query).reduce((sum, value, i) => sum + value * unitVector(text)[i]!, 0),
      );
      const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
      return { hits: order.map((index) => index === q), relevant: 1 };
    });
    expect(found.systems["fine-tuned"]!.ndcg_at_10).toBeCloseTo(searchMetric("ndcg_at_10", outcomes), 6);
    expect(found.systems["fine-tuned"]!.map_at_100).toBeCloseTo(searchMetric("map_at_100", outcomes), 6);
    expect(found.scores["fine-tuned"]!.relevant).toHaveLength(12);
    const gains = found.changes.map(({ ndcg }) => ndcg["fine-tuned"]! - ndcg["before training"]!);
    expect(gains).toEqual(gains.toSorted((a, b) => b - a));
  });

  test("from the command line, with a page", async () => {
    const { code, stdout, stderr } = await run(`evaluate --run run ${FILES} --threads 1 --output page.html`);
    expect(stderr).toBe("reading run\n");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^12 queries against 30 texts\n +fine-tuned +before training +BM25\nndcg_at_10 /);
    const page = await readFile(at("page.html"), "utf8");
    for (const text of [
      "Scores, fine-tuned",
      "Scores, before training",
      "Queries that gained most",
      "Scores of each search",
    ]) {
      expect(page).toContain(text);
    }
    expect(page).not.toContain("<script");
  });

  test("with a reranker of BM25's results", async () => {
    const stages: [string, number, number][] = [];
    const { systems, scores } = await evaluateSearch(at("reranker"), {
      ...{ corpus: at("corpus.jsonl"), queries: at("queries.jsonl"), qrels: at("qrels.tsv"), threads: 1 },
      onStage: (...stage) => stages.push(stage),
    });
    // The first stage finds all relevant texts, so only the order differs.
    expect(systems.BM25!.ndcg_at_10).toBeGreaterThan(0.5);
    expect(systems["fine-tuned"]!.recall_at_10).toBeLessThanOrEqual(1);
    expect(systems["fine-tuned"]).not.toEqual(systems.BM25);
    const { relevant, others } = scores["fine-tuned"]!;
    expect(relevant).toHaveLength(12);
    expect(others.length).toBeGreaterThan(0);
    expect(others.length).toBeLessThanOrEqual(13);
    const asked = Array.from({ length: 12 }, (_, i) => i + 1);
    for (const name of ["fine-tuned", "before training"]) {
      expect(stages.filter(([what]) => what === name)).toEqual(asked.map((done) => [name, done, 12]));
    }
  });

  test("for a query", async () => {
    const { stdout } = await run(
      "search --run run --corpus corpus.jsonl --top 3 --threads 1 twice_charged_was_card_my",
    );
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split("\t"));
    expect(lines).toHaveLength(3);
    expect(lines.map(([score]) => Number(score))).toEqual(lines.map(([score]) => Number(score)).sort((a, b) => b - a));
    await run("embed --run run --file corpus.jsonl --output corpus.npy --threads 1");
    const search = "search --run run --corpus corpus.jsonl --json --top 30 --threads 1 late";
    const found = async (command: string) =>
      (await run(command)).stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line));
    const [fresh, stored] = [await found(search), await found(`${search} --vectors corpus.npy`)];
    expect(fresh).toHaveLength(30);
    expect(stored.map(({ id }) => id)).toEqual(fresh.map(({ id }) => id));
    for (const [i, { score }] of stored.entries()) expect(score).toBeCloseTo(fresh[i].score, 5);
  });
});

describe("embed", () => {
  test("writes the same vectors as JSON Lines, NumPy and parquet files", async () => {
    await writeFile(at("texts.txt"), `${messages.join("\n")}\n`);
    const { stdout } = await aflora(words("embed --run run --threads 1"), home, { input: `${messages.join("\n")}\n` });
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ text }) => text)).toEqual(messages);
    for (const ending of ["jsonl", "npy", "parquet"]) {
      const { code, stderr } = await run(`embed --run run --file texts.txt --output vectors.${ending} --threads 1`);
      expect([code, stderr]).toEqual([0, "reading run\n"]);
    }
    const npy = await readNpy(at("vectors.npy"));
    expect(npy).toHaveLength(30);
    const bytes = await readFile(at("vectors.parquet"));
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
    const rows = (await parquetReadObjects({ file })) as { text: string; embedding: number[] }[];
    expect(rows.map(({ text }) => text)).toEqual(messages);
    const jsonl = (await readFile(at("vectors.jsonl"), "utf8"))
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    for (const [i, { embedding }] of lines.entries()) {
      for (const other of [npy[i]!, rows[i]!.embedding, jsonl[i].embedding]) {
        expect(other).toHaveLength(32);
        const differences = Array.from(other as number[], (value, j) => Math.abs(value - embedding[j]));
        expect(Math.max(...differences)).toBeLessThan(1e-5);
      }
    }
    const [short] = (await run("embed --run run --dimensions 8 --threads 1 late")).stdout.split("\n");
    expect(Math.hypot(...JSON.parse(short!).embedding)).toBeCloseTo(1, 5);
  });

  test("writes the vectors that search wants of a corpus with blank lines", async () => {
    await writeFile(at("blank.txt"), `${messages[0]}\n\n${messages[1]}\n`);
    expect((await run("embed --run run --file blank.txt --output blank.npy --threads 1")).code).toBe(0);
    const search = `search --run run --corpus blank.txt --vectors blank.npy --threads 1 ${messages[1]!.split(" ")[0]}`;
    const { code, stdout } = await run(search);
    expect(code).toBe(0);
    expect(stdout.trimEnd().split("\n")).toHaveLength(2);
  });

  // A limit on the size of files does what a full disk does: it lets the first part of a write through.
  test.skipIf(process.platform === "win32").each(["jsonl", "npy", "parquet"])(
    "leaves an earlier %s file as it was if the disk is full",
    async (ending) => {
      await writeFile(at(`full.${ending}`), "earlier");
      const args = words(`embed --run run --file corpus.jsonl --output full.${ending} --threads 1`);
      const { code, stderr } = await new Aflora(args, home, { shell: "ulimit -f 2" }).ended;
      expect(stderr).toMatch(/cannot write full\.\w+: the file is larger than the system allows/);
      expect(code).toBe(2);
      expect(await readFile(at(`full.${ending}`), "utf8")).toBe("earlier");
      expect((await readdir(home)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    },
  );

  test("leaves no part of a file after Ctrl-C", async () => {
    const running = new Aflora(words("embed --run run --output stopped.npy --threads 1"), home);
    // Stdin stays open, so that only Ctrl-C ends it.
    running.process.stdin.write(`${messages.join("\n")}\n`);
    const parts = async () => (await readdir(home)).filter((name) => name.startsWith("stopped.npy"));
    await expect.poll(parts).toHaveLength(1);
    running.process.kill("SIGINT");
    expect(await running.ended).toMatchObject({ code: 130, stderr: "reading run\n" });
    expect(await parts()).toEqual([]);
  });
});

describe("mine", () => {
  test("writes a file that train reads", async () => {
    const { stdout, code } = await run(
      "mine --run run --train pairs.jsonl --negatives 2 --range 1-20 --duplicate 2 --output hard.jsonl --threads 1",
    );
    expect(stdout).toMatch(/^\d+ negatives of 30 pairs, \d+ of them without a negative: hard\.jsonl\n$/);
    expect(code).toBe(0);
    const rows = (await readFile(at("hard.jsonl"), "utf8"))
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows.some(({ negative_2 }) => negative_2 !== undefined)).toBe(true);
    for (const { positive, negative, negative_2 } of rows) {
      expect(new Set([positive, negative, negative_2]).size === 3 || negative_2 === undefined).toBe(true);
    }
    const { result } = await fineTune({
      ...QUICK,
      model: at("model"),
      train: at("hard.jsonl"),
      epochs: 1,
      output: at("again"),
    });
    expect(result!.steps).toBeGreaterThan(0);
  });
});

test.each([
  [
    "a corpus with repeated ids",
    '{"_id":"a","text":"one"}\n{"_id":"a","text":"two"}\n',
    undefined,
    /bad\.jsonl, line 2: the id "a" is also that of .*bad\.jsonl, line 1; ids must be unique/,
  ],
  ["an empty id", '{"_id":"","text":"one"}\n', undefined, /line 1: no id in column "_id"/],
  [
    "relevances of unknown texts",
    undefined,
    "q0\td99\t1",
    /bad\.tsv, line 2: the id "d99" in column "corpus-id" is not in corpus\.jsonl/,
  ],
  [
    "relevances of unknown queries",
    undefined,
    "q99\td1\t1",
    /the id "q99" in column "query-id" is not in queries\.jsonl/,
  ],
  ["nothing relevant", undefined, "q0\td1\t0", /marks no text as relevant to a query/],
])("%s: one sentence", async (_what, corpusText, qrel, message) => {
  if (corpusText) await writeFile(at("bad.jsonl"), corpusText);
  if (qrel) await writeFile(at("bad.tsv"), `query-id\tcorpus-id\tscore\n${qrel}\n`);
  const ended = await run(
    `evaluate --run run --corpus ${corpusText ? "bad.jsonl" : "corpus.jsonl"} --queries queries.jsonl --qrels ${qrel ? "bad.tsv" : "qrels.tsv"} --threads 1`,
  );
  expectRefusal(ended, message);
});

test.each([
  ["evaluate --run run --corpus corpus.jsonl", /to evaluate a search, give all three/],
  ["embed --run reranker late", /is for reranker and does not embed;/],
  ["embed --run run --output vectors.txt late", /vectors\.txt: its name must end in \.jsonl, \.npy, \.parquet/],
  ["embed --run run --dimensions 99 late", /has 32 dimensions, which cannot be cut to 99/],
  ["search --run run --corpus corpus.jsonl --vectors pairs.jsonl late", /pairs\.jsonl is not a NumPy file/],
  ["mine --run run --train pairs.jsonl --range 5 --output x.jsonl", /--range takes two ranks, such as 5-100/],
])("%s is refused", async (command, message) => {
  const { code, stderr } = await run(`${command} --threads 1`);
  expect(stderr).toMatch(message);
  expect(code).toBe(2);
  expect(existsSync(at("vectors.txt"))).toBe(false);
});
