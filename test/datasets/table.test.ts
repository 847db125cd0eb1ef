import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, sep } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseTable } from "../../src/datasets/parse-table.ts";
import { readIdentifiedTexts } from "../../src/datasets/retrieval-set-node.ts";
import { loadTableTask, readExamples } from "../../src/datasets/table-node.ts";
import { readTexts } from "../../src/datasets/texts-node.ts";
import { UserError } from "../../src/errors.ts";
import { parquetFile } from "../support/parquet.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-table-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Writes a file and returns its path. */
async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

const jsonl = (rows: object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** Expects a UserError with exactly this message, without the test's folder. */
async function refuses(work: Promise<unknown>, message: string): Promise<void> {
  const error = await work.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(UserError);
  expect(error.message.replaceAll(folder + sep, "")).toBe(message);
}

const rows = "text,label\nfine day,good\nrain,bad\nsun,good\nstorm,bad\n";

describe("classification", () => {
  it("reads quoted CSV with pairs, a byte order mark and Windows line ends", async () => {
    const train = await file(
      "pairs.csv",
      '\uFEFFid, question ,answer,verdict\r\n1,"What, ""now""?","two\r\nlines",yes\r\n\r\n2,say "hi",,no\r\n3,a,b, yes \r\n',
    );
    const task = await loadTableTask({
      train,
      validation: train,
      text: "question",
      textPair: "answer",
      label: "verdict",
    });
    expect(task).toMatchObject({ name: "custom", kind: "classification", labels: ["no", "yes"] });
    expect(task.metrics[0]).toBe("accuracy");
    expect(task.train).toEqual([
      { index: 0, text: 'What, "now"?', textPair: "two\r\nlines", label: 1 },
      { index: 1, text: 'say "hi"', textPair: "", label: 0 },
      { index: 2, text: "a", textPair: "b", label: 1 },
    ]);
    expect(task.validation).toEqual([{ name: "validation", examples: task.train }]);
  });

  it.each([
    [";", "semicolons, as spreadsheets write them"],
    ["\t", "tabs"],
  ])("reads CSV with the delimiter %j: %s", async (delimiter) => {
    const content = 'text,label\n"a; b\tc",x\n"say ""no"", it says",y\nplain,x\n'.replaceAll(",", "|");
    const train = await file("parted.csv", content.replaceAll("|", delimiter));
    const task = await loadTableTask({ train, validation: train });
    const { text } = task.train.at(1)!;
    expect(task.labels).toEqual(["x", "y"]);
    expect([task.train.at(0)!.text, text]).toEqual(["a; b\tc", `say "no"${delimiter} it says`]);
  });

  it("prefers commas to semicolons, keeps quotes within a cell, and accepts each kind of line end", async () => {
    const { columns, rows } = parseTable('text,label;kind\r5" wide, tall";x\n"a"b",y\r\n"",x;', "odd.csv", "csv");
    expect(columns).toEqual(["text", "label;kind"]);
    expect(rows.map(({ cells }) => [...cells])).toEqual([
      ['5" wide', ' tall";x'],
      ['a"b', "y"],
      ["", "x;"],
    ]);
    expect(rows.map(({ line }) => line)).toEqual([2, 3, 4]);
  });

  it("reads Parquet files with classes in order and relative paths", async () => {
    const texts = await loadTableTask({ train: parquetFile("cola-validation-00000-of-00001"), text: "sentence" });
    expect(texts).toMatchObject({ kind: "classification", labels: ["unacceptable", "acceptable"] });
    const paths = parquetFile("paths");
    const pictures = await loadTableTask({ train: paths, validation: paths });
    expect(pictures).toMatchObject({ kind: "image-classification", labels: ["rows", "columns"] });
    const expected = [0, 1].map((i) => join(dirname(paths), "photos", `${i}.png`));
    expect(pictures.train.map(({ text }) => text)).toEqual(expected);
    expect(pictures.origin!.files).toEqual([paths, paths, ...expected, ...expected]);
  });

  it("reads quotes in TSV literally", async () => {
    const train = await file("quotes.tsv", 'text\tlabel\n"a" word\tx\n"open\ty\n');
    const task = await loadTableTask({ train, validation: train });
    expect(task.train.map(({ text }) => text)).toEqual(['"a" word', '"open']);
  });

  it("sorts integers by value, and keeps JSON's numbers and booleans as names", async () => {
    const integers = await file("integers.jsonl", jsonl([10, 9, -1, 10].map((label) => ({ text: "x", label }))));
    const { labels, train } = await loadTableTask({ train: integers, validation: integers });
    expect(labels).toEqual(["-1", "9", "10"]);
    expect(train.map(({ label }) => label)).toEqual([2, 1, 0, 2]);
    const flags = await file("flags.jsonl", jsonl([true, false].map((label) => ({ text: "x", label }))));
    expect((await loadTableTask({ train: flags, validation: flags })).labels).toEqual(["false", "true"]);
  });

  it("holds out a stratified, seeded part without a validation file", async () => {
    const many = Array.from({ length: 200 }, (_, index) => `text ${index},${index % 4 ? "often" : "seldom"}\n`);
    const train = await file("many.csv", `text,label\n${many.join("")}once,single\n`);
    const load = async (seed?: number) => loadTableTask({ train, validationSplit: 0.2, ...(seed && { seed }) });
    const task = await load();
    const held = task.validation[0]!.examples;
    const count = (label: number) => held.filter((example) => example.label === label).length;
    expect(task.labels).toEqual(["often", "seldom", "single"]);
    expect([count(0), count(1), count(2)]).toEqual([30, 10, 0]);
    const texts = [...task.train, ...held].map(({ text }) => text);
    expect(new Set(texts).size).toBe(201);
    for (const part of [task.train, held]) expect(part.map(({ index }) => index)).toEqual([...[...part].keys()]);
    expect(await load()).toEqual(task);
    expect((await load(1)).validation).not.toEqual(task.validation);
  });
});

describe("other kinds", () => {
  it("reads real numbers as regression, and integers on request", async () => {
    const train = await file("real.csv", "text,label\na,1.5\nb,-2\nc,3e1\n");
    const task = await loadTableTask({ train, validation: train });
    expect(task).toMatchObject({
      kind: "regression",
      labels: [],
      metrics: ["pearson", "spearmanr", "mean_squared_error"],
    });
    expect(task.train.map(({ label }) => label)).toEqual([1.5, -2, 30]);
    const stars = await file("stars.csv", "text,label\na,1\nb,5\n");
    expect((await loadTableTask({ train: stars, validation: stars, kind: "regression" })).train.at(1)!.label).toBe(5);
  });

  it("reads multi-label names from arrays, or separated by semicolons on request", async () => {
    const arrays = await file(
      "tags.jsonl",
      jsonl([
        { text: "a", label: ["y", "x", "y"] },
        { text: "b", label: [] },
        { text: "c", label: ["z"] },
      ]),
    );
    const cells = await file("tags.csv", "text,label\na,y; x\nb,\nc,z;\n");
    const expected = [[0, 1], [], [2]];
    for (const task of [
      await loadTableTask({ train: arrays, validation: arrays }),
      await loadTableTask({ train: cells, validation: cells, kind: "multi-label" }),
    ]) {
      expect(task).toMatchObject({ kind: "multi-label", labels: ["x", "y", "z"], metrics: ["micro_f1", "macro_f1"] });
      expect(task.train.map(({ labels }) => labels)).toEqual(expected);
    }
  });

  it("reads token classification from JSONL and CoNLL alike", async () => {
    const conll = "-DOCSTART- -X- O\n\nAda NNP B-PER\nslept VBD O\n\n\nIn IN O\nRome NNP B-LOC\n";
    const expected = {
      kind: "token-classification",
      labels: ["B-LOC", "B-PER", "O"],
      metrics: ["f1", "precision", "recall", "accuracy"],
      train: [
        { index: 0, text: "Ada slept", words: ["Ada", "slept"], labels: [1, 2] },
        { index: 1, text: "In Rome", words: ["In", "Rome"], labels: [2, 0] },
      ],
    };
    const spaced = await file("ner.conll", conll);
    const tabbed = await file("ner.txt", conll.replaceAll(" ", "\t"));
    const json = await file(
      "ner.jsonl",
      jsonl([
        { words: ["Ada", "slept"], tags: ["B-PER", "O"] },
        { words: ["In", "Rome"], tags: ["O", "B-LOC"] },
      ]),
    );
    expect(await loadTableTask({ train: spaced, validation: spaced })).toMatchObject(expected);
    expect(await loadTableTask({ train: tabbed, validation: spaced, kind: "token-classification" })).toMatchObject(
      expected,
    );
    expect(await loadTableTask({ train: json, validation: spaced, text: "words", label: "tags" })).toMatchObject(
      expected,
    );
  });
});

describe("readExamples", () => {
  it("reads texts without labels", async () => {
    const lines = await file("texts.txt", "one text\n\n  two\n");
    expect(await readExamples(lines, { text: "review" }, "classification", [])).toEqual([
      { index: 0, text: "one text" },
      { index: 1, text: "" },
      { index: 2, text: "  two" },
    ]);
    // Without tags, the model's reader splits the text into words.
    expect((await readExamples(lines, { text: "review" }, "token-classification", [])).at(2)).toEqual({
      index: 2,
      text: "  two",
    });
    const table = await file("texts.csv", "a,b,label\nx,y,whatever\n");
    expect(await readExamples(table, { text: "a", textPair: "b" }, "classification", [])).toEqual([
      { index: 0, text: "x", textPair: "y" },
    ]);
    const words = await file("words.conll", "In\nRome\n\nYes\n");
    expect((await readExamples(words, { text: "x" }, "token-classification", ["O"])).map((each) => each.words)).toEqual(
      [["In", "Rome"], ["Yes"]],
    );
  });

  it.each([
    ["csv", 'id,text\n1,one\n\n2,\n3,"two\nlines"\n\n'],
    ["tsv", "id\ttext\n1\tone\n\n2\t\n3\ttwo\n\n"],
    ["jsonl", '{"text":"one"}\n\n{"text":""}\n{"text":"two"}\n{"id":5}\n'],
    ["txt", "one\n\n \ntwo\n\n"],
  ])("has one example for each line of a %s file without labels, including empty ones", async (ending, content) => {
    const examples = await readExamples(await file(`gaps.${ending}`, content), { text: "text" }, "classification", []);
    expect(examples.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
    expect(examples.map(({ text }) => text.trim().slice(0, 3))).toEqual(["one", "", "", "two", ""]);
  });

  it("uses the given labels", async () => {
    const table = await file("again.csv", rows);
    const examples = await readExamples(table, { text: "text", label: "label" }, "classification", ["good", "bad"]);
    expect(examples.map(({ label }) => label)).toEqual([0, 1, 0, 1]);
  });

  it("reads scores that happen to be 0 or 1 as scores, as those of the training file", async () => {
    const pairs = (scores: number[]) => jsonl(scores.map((score) => ({ sentence1: "a", sentence2: "b", score })));
    const train = await file("scores.jsonl", pairs([0.5, 1]));
    const task = await loadTableTask({ train, validation: await file("ends.jsonl", pairs([0, 1])), kind: "embedding" });
    expect(task.validation[0]!.examples.map(({ label }) => label)).toEqual([0, 1]);
  });

  it("reads a corpus alike to embed and to search it: without blank lines, and each title once", async () => {
    const corpora = {
      "corpus.txt": ["one\n\n  \ntwo\n", "text", ["one", "two"]],
      "corpus.csv": ["id,title,text\n1,Cats,purr\n,,\n2,,bark\n", "text", ["Cats purr", "bark"]],
      "titles.jsonl": ['{"title":"Cats","text":"purr"}\n\n{"title":"Dogs"}\n', "title", ["Cats", "Dogs"]],
    } as const;
    for (const [name, [content, column, expected]] of Object.entries(corpora)) {
      const corpus = await file(name, content);
      expect(await readTexts(corpus, column)).toEqual(expected);
      expect((await readIdentifiedTexts(corpus, column)).map(({ text }) => text)).toEqual(expected);
    }
  });
});

describe("rejects bad input in one sentence", () => {
  const load = async (name: string, content: string | Uint8Array, options = {}) =>
    loadTableTask({ train: await file(name, content), ...options });

  it("a file that is missing, a folder, of an unknown format, empty, without rows or not UTF-8", async () => {
    await refuses(loadTableTask({ train: join(folder, "none.csv") }), "no such file: none.csv");
    await refuses(
      load("data.xlsx", rows),
      "data.xlsx: unknown kind of file; its name must end in .csv, .tsv, .jsonl, .ndjson, .conll, .bio, .iob, .iob2, .txt, .parquet",
    );
    await refuses(load("empty.csv", "\n"), "empty.csv is empty");
    await refuses(load("header.csv", "text,label\n"), "header.csv has no rows, only a header");
    await refuses(
      load("latin.csv", Uint8Array.of(0x74, 0xe9, 0x0a)),
      "latin.csv is not UTF-8 text; save it with that encoding",
    );
  });

  it("a missing or duplicate column", async () => {
    await refuses(
      load("columns.csv", rows, { label: "labels" }),
      'columns.csv has no column "labels"; it has text, label; did you mean "label"?',
    );
    await refuses(load("twice.csv", "text,text\na,b\n"), 'twice.csv: the header names the column "text" twice');
    await refuses(load("lines.txt", "a\nb\n"), 'lines.txt has no column "label"; it has text');
  });

  it("unnamed columns, suggesting similar ones", async () => {
    const named = (first: string) => `${first}\nmy card is lost,card,1\nit is lost,card,2\nwhere is it,parcel,3\n`;
    await refuses(
      load("tickets.csv", named("message,team,id")),
      'tickets.csv has no column "text"; it has message, team, id; name yours, such as option "text" message option "label" team',
    );
    await refuses(
      load("spaces.csv", named("What they wrote,Team,id"), { label: "Team" }),
      'spaces.csv has no column "text"; it has What they wrote, Team, id; name yours, such as option "text" "What they wrote" option "label" Team',
    );
    await refuses(
      load("taken.csv", named("message,team,id"), { text: "team" }),
      'taken.csv has no column "label"; it has message, team, id',
    );
    await refuses(
      load("pairs.csv", "premise,hypothesis,verdict\na b,c,yes\nd e,f,no\ng h,i,no\n", { kind: "classification" }),
      'pairs.csv has no column "text"; it has premise, hypothesis, verdict; name yours, such as option "text" premise option "textPair" hypothesis option "label" verdict',
    );
    await refuses(
      readExamples(join(folder, "tickets.csv"), {}, "classification", ["card", "parcel"]),
      'tickets.csv has no column "text"; it has message, team, id; name yours, such as option "text" message',
    );
    await refuses(
      load("bare.csv", named("i want it,card,0")),
      'bare.csv seems to have no header: "card" is in the first line and 2 times below it; write names such as text,label into a first line',
    );
  });

  it("a row with too few or too many fields, at its first line", async () => {
    await refuses(
      load("few.csv", 'text,label\n"a\nb",x\n\n"c\nd"\n'),
      "few.csv, line 5: 1 field, too few: the header has 2 (text, label)",
    );
    await refuses(
      load("many.tsv", "text\tlabel\na\tb\tc\n"),
      "many.tsv, line 2: 3 fields, too many: the header has 2 (text, label)",
    );
    await refuses(load("few.conll", "a O\nb\n"), "few.conll, line 2: 1 field, but the lines before have 2");
  });

  it("malformed CSV and JSON", async () => {
    await refuses(
      load("open.csv", 'text,label\n"a,b\n'),
      "open.csv is not well-formed CSV: a quote that opens in line 2 is never closed",
    );
    await refuses(
      load("array.jsonl", '{"text":"a","label":"b"}\n["a"]\n'),
      'array.jsonl, line 2: not a JSON object; write one {"column": value, …} per line',
    );
    await expect(load("broken.jsonl", '{"text":"a"}\n{"text":\n')).rejects.toThrow(
      /broken.jsonl, line 2: not valid JSON: /,
    );
  });

  it("a row without text or label", async () => {
    await refuses(load("text.csv", "text,label\na,x\n ,y\n"), 'text.csv, line 3: no text in column "text"');
    await refuses(load("label.csv", "text,label\na,x\nb, \n"), 'label.csv, line 3: no label in column "label"');
    await refuses(
      load("key.jsonl", jsonl([{ text: "a", label: ["x"] }, { text: "b" }])),
      'key.jsonl, line 2: no label in column "label"',
    );
    await refuses(
      load(
        "object.jsonl",
        jsonl([
          { text: {}, label: "x" },
          { text: "b", label: "y" },
        ]),
      ),
      'object.jsonl, line 1: an object or array instead of a text in column "text"',
    );
    await refuses(
      load("nested.jsonl", jsonl([{ text: "a", label: { x: 1 } }])),
      'nested.jsonl, line 1: an object or array instead of a label in column "label"',
    );
  });

  it("a label that is not in the training data", async () => {
    const validation = await file("dev.csv", "text,label\na,good\nb,godo\n");
    await refuses(
      load("train.csv", rows, { validation }),
      'dev.csv, line 3: unknown label "godo" in column "label"; the task\'s labels are bad, good; did you mean "good"?',
    );
  });

  const SCORED = { sentence1: "a", sentence2: "b", score: 0.5 };
  const LISTS = { query: "a", passage: "b", negative: "c" };
  const PAIRS = { prompt: "a", chosen: "b", rejected: "c" };
  it.each([
    ["embedding", { anchor: "a", positive: "b" }, SCORED, "pairs with a score", "pairs or triplets"],
    ["embedding", { ...SCORED, score: 1 }, SCORED, "pairs with a score", "pairs with 0 or 1"],
    ["embedding", SCORED, { text: "a", label: "x" }, "texts with a class", "pairs with a score"],
    ["reranker", { query: "a", passage: "b", label: 1 }, LISTS, "passages with negatives", "passages with a label"],
    ["preference", PAIRS, { prompt: "a", completion: "b", label: true }, "answers with a label", "pairs of answers"],
  ])("%s rows unlike those of the training file: %j, then %j", async (kind, row, other, held, learned) => {
    const validation = await file("held.jsonl", jsonl([other, "label" in other ? { ...other, label: 0 } : other]));
    await refuses(
      load("learned.jsonl", jsonl([row, row]), { kind, validation }),
      `held.jsonl holds ${held}, but the task's training file ${learned}; give a file with the same columns as the training file`,
    );
  });

  it("a line without an end", async () => {
    const long = " ".repeat(2 ** 24 + 1);
    await refuses(
      load("array.jsonl", `${jsonl([{ text: "a", label: "x" }])}[${long}`),
      "array.jsonl, line 2: longer than 16,777,216 characters; write one row per line",
    );
  });

  it("a label column with nothing to learn", async () => {
    const message = (name: string, found: string) =>
      `${name}: column "label" holds ${found}; there is nothing to learn`;
    await refuses(load("same.csv", "text,label\na,x\nb,x\n"), message("same.csv", 'one label only, "x"'));
    await refuses(
      load("level.csv", "text,label\na,1.5\nb,1.50\n", { kind: "regression" }),
      message("level.csv", 'one label only, "1.5"'),
    );
    await refuses(load("none.jsonl", jsonl([{ text: "a", label: [] }])), message("none.jsonl", "no labels"));
  });

  it("a label that is not a number", async () => {
    await refuses(
      load("nan.csv", "text,label\na,1.5\nb,NaN\nc,2.5\n"),
      'nan.csv, line 3: "NaN" is not a real number in column "label"; regression needs one in every row',
    );
    await refuses(
      load("gap.csv", "text,label\na,1.5\nb,\nc,2.5\n"),
      'gap.csv, line 3: no label in column "label"; regression needs one in every row',
    );
  });

  it("tags that are not BIO or not one per word", async () => {
    await refuses(
      load("pos.conll", "Ada NOUN\n"),
      'pos.conll, line 1: "NOUN" is not a BIO tag such as B-PER, I-PER or O, in column "label"',
    );
    await refuses(
      load(
        "short.jsonl",
        jsonl([
          { text: ["a", "b"], label: ["O"] },
          { text: ["c"], label: ["B-X"] },
        ]),
      ),
      "short.jsonl, line 1: 2 words but 1 tags",
    );
    await refuses(
      load("flat.jsonl", jsonl([{ text: ["a"], label: "O" }])),
      'flat.jsonl, line 1: no array of tags, one for each word, in column "label"',
    );
  });

  it("a split that cannot be made", async () => {
    const validation = await file("more.csv", rows);
    await refuses(
      load("both.csv", rows, { validation, validationSplit: 0.5 }),
      "give a validation file or a validation split, not both",
    );
    await refuses(
      load("whole.csv", rows, { validationSplit: 1 }),
      "the validation split must be a fraction between 0 and 1, not 1",
    );
    await refuses(
      load("tiny.csv", rows),
      "a validation split of 0.1 leaves nothing to validate on: there are 4 examples; give more, or a larger fraction",
    );
  });
});
