/**
 * Data that aflora was not built on: each set is made or drawn here, learned by `train`'s defaults and scored on other rows, beside
 * scikit-learn on the same encoder's vectors (oracle/unfamiliar_data.py).
 *
 *     npm run bench:unfamiliar -- PYTHON [SET …] [--data ../shared/data] [--output runs/unfamiliar] [--threads N]
 *
 * Without a SET, all are measured in turn. Prints a row of a Markdown table for each.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { readTable } from "../src/datasets/read-table-node.ts";
import { fineTune } from "../src/fine-tune.ts";
import { loadEmbedder } from "../src/inference/load-embedder-node.ts";
import { evaluateRun } from "../src/runs/evaluate-run.ts";
import type { FineTuneConfig } from "../src/runs/fine-tune-config.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { oneOf, pythonOf } from "./arguments.ts";

type Row = Readonly<Record<string, unknown>>;

/** Rows to learn and other rows to score, with the options that the set needs. */
interface DataSet {
  train: readonly Row[];
  test: readonly Row[];
  options: Partial<FineTuneConfig> & { text: string; label: string };
  /** Metric that is compared. */
  metric: string;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string", default: "../shared/data" },
    output: { type: "string", default: "runs/unfamiliar" },
    threads: { type: "string" },
  },
});

let random = xoroshiro128plus(1);
const below = (count: number): number => uniformInt(random, 0, count - 1);
const pick = <Item>(items: readonly Item[]): Item => items[below(items.length)]!;
function shuffle<Item>(items: Iterable<Item>): Item[] {
  const all = [...items];
  for (let i = all.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all;
}

async function rowsOf(path: string): Promise<Record<string, string>[]> {
  const { columns, rows } = await readTable(join(values.data, path), path.endsWith(".tsv") ? "tsv" : "csv");
  return [...rows].map(({ cells }) => Object.fromEntries(columns.map((name, i) => [name, String(cells.at(i))])));
}

/** So many rows of each class. */
function ofEach(rows: readonly Record<string, string>[], column: string, count: number): Record<string, string>[] {
  const taken = new Map<string, number>();
  return shuffle(rows).filter((row) => {
    const before = taken.get(row[column]!) ?? 0;
    taken.set(row[column]!, before + 1);
    return before < count;
  });
}

async function banking(count: number): Promise<DataSet> {
  const train = ofEach(await rowsOf("banking77/train.csv"), "category", count);
  const test = shuffle(await rowsOf("banking77/test.csv")).slice(0, 500);
  return { train, test, options: { text: "text", label: "category" }, metric: "accuracy" };
}

/** Reviews of five sentences of SST-2: as many stars as sentences that praise, at least one. */
async function stars(): Promise<DataSet> {
  const sentences = (await rowsOf("glue/SST-2/train.tsv")).filter(({ sentence }) => sentence!.split(" ").length > 6);
  const [praise, blame] = ["1", "0"].map((label) => sentences.filter((row) => row.label === label));
  const review = (): Row => {
    const count = below(6);
    const parts = [...Array(5).keys()].map((i) => pick(i < count ? praise! : blame!).sentence!.trim());
    return { review: shuffle(parts).join(". "), stars: Math.max(1, count) };
  };
  const rows = Array.from({ length: 700 }, review);
  const options = { text: "review", label: "stars", kind: "regression" } as const;
  return { train: rows.slice(0, 400), test: rows.slice(400), options, metric: "pearson" };
}

/** Documents of 5,000 words: rows of AG News of one topic, among as many of the others. */
async function longTexts(): Promise<DataSet> {
  const rows = await rowsOf("agnews/train.csv");
  const topics = [...new Set(rows.map(({ label }) => label!))];
  const document = (topic: string): Row => {
    const words: string[] = [];
    while (words.length < 5000) {
      const from = below(2) === 0 ? topic : pick(topics);
      words.push(...pick(rows.filter(({ label }) => label === from)).text!.split(/\s+/));
    }
    return { text: words.slice(0, 5000).join(" "), label: topic };
  };
  const made = (count: number): Row[] =>
    shuffle(topics.flatMap((topic) => Array.from({ length: count }, () => document(topic))));
  return { train: made(20), test: made(15), options: { text: "text", label: "label" }, metric: "accuracy" };
}

/** Three rows in all, two labels. */
async function threeRows(): Promise<DataSet> {
  const rows = (await rowsOf("agnews/train.csv")).filter(({ label }) =>
    ["Sports", "Business", "1", "2"].includes(label!),
  );
  const topics = [...new Set(rows.map(({ label }) => label!))].slice(0, 2);
  const of = (topic: string, from: number, count: number) =>
    rows.filter(({ label }) => label === topic).slice(from, from + count);
  const train = [...of(topics[0]!, 0, 2), ...of(topics[1]!, 0, 1)];
  const test = topics.flatMap((topic) => of(topic, 10, 100));
  return { train, test, options: { text: "text", label: "label", validationSplit: 0.34 }, metric: "accuracy" };
}

/** An export of a help desk: the questions of a bank in one of 30 columns, the others as such tools write them. */
async function helpDesk(): Promise<DataSet> {
  const chosen = [
    "card_arrival",
    "exchange_rate",
    "lost_or_stolen_card",
    "pending_transfer",
    "request_refund",
    "verify_my_identity",
  ];
  const row = ({ text, category }: Record<string, string>, i: number): Row => ({
    "Ticket ID": `HD-${100_000 + 7 * i}`,
    "Created at": `2026-0${1 + below(9)}-1${below(10)}T0${below(10)}:15:00Z`,
    "Updated at": "",
    Status: pick(["open", "solved", "pending"]),
    Priority: pick(["low", "normal", "high", ""]),
    Channel: pick(["mail", "chat", "web"]),
    Subject: text!.split(" ").slice(0, 4).join(" "),
    Description: `Hello,\r\n${text}\r\n\r\nSent from my "phone", with regards`,
    Team: category!,
    Agent: pick(["Ada", "Grace; Alan", "n/a"]),
    Tags: pick(["vip;eu", "us", ""]),
    CSAT: pick(["5", "4", "", "-"]),
    ...Object.fromEntries(
      Array.from({ length: 18 }, (_, j) => [`custom_field_${j + 1}`, j % 3 === 0 ? "" : String(below(100))]),
    ),
  });
  const questions = (rows: Record<string, string>[]) => rows.filter(({ category }) => chosen.includes(category!));
  const train = ofEach(questions(await rowsOf("banking77/train.csv")), "category", 30).map(row);
  const test = questions(await rowsOf("banking77/test.csv")).map(row);
  return { train, test, options: { text: "Description", label: "Team" }, metric: "accuracy" };
}

const GERMAN: Readonly<Record<string, readonly string[]>> = JSON.parse(
  readFileSync(new URL("unfamiliar-german.json", import.meta.url), "utf8"),
);

/** Messages to a shop in German, written for this measurement. */
async function german(): Promise<DataSet> {
  const rows = Object.entries(GERMAN).map(([team, texts]) => texts.map((text) => ({ text, team })));
  const train = shuffle(rows.flatMap((own) => own.slice(0, 10)));
  const test = shuffle(rows.flatMap((own) => own.slice(10)));
  return { train, test, options: { text: "text", label: "team" }, metric: "accuracy" };
}

/** Sentences with names of 40 kinds, five names each, of which a sentence of the test has others than those that were learned. */
async function fortyEntities(): Promise<DataSet> {
  const letters = "bdfgklmnprstvz";
  const name = (type: number): string => {
    const syllable = (): string => `${pick([...letters])}${pick([..."aeiou"])}`;
    return `${syllable()}${syllable()}${["x", "th", "ck", "ng", "sh", "ll", "rd", "mp"][type % 8]}`;
  };
  const CUES = [
    "city",
    "river",
    "drug",
    "firm",
    "song",
    "film",
    "law",
    "ship",
    "bird",
    "tree",
    "wine",
    "team",
    "bank",
    "road",
    "lake",
    "tool",
    "dish",
    "game",
    "star",
    "book",
  ];
  const type = (i: number): string => `${CUES[i % 20]!.toUpperCase()}${i < 20 ? "" : "_OLD"}`;
  const sentence = (i: number): Row => {
    const first = i % 40;
    const parts = [first, below(40)].flatMap((kind, place) => {
      const own = Array.from({ length: 1 + below(2) }, () => name(kind));
      const before = [
        place === 0 ? "the" : pick(["beside the", "and the", "without the"]),
        kind < 20 ? "" : "old",
        CUES[kind % 20]!,
        "called",
      ];
      const words = before.join(" ").split(/\s+/).filter(Boolean);
      return [
        ...words.map((word) => [word, "O"] as const),
        ...own.map((word, j) => [word, `${j === 0 ? "B" : "I"}-${type(kind)}`] as const),
        [pick(["stays", "changed", "is", "ends"]), "O"] as const,
      ];
    });
    return { text: parts.map(([word]) => word), label: parts.map(([, tag]) => tag) };
  };
  const rows = Array.from({ length: 600 }, (_, i) => sentence(i));
  const options = { text: "text", label: "label", kind: "token-classification" } as const;
  return { train: rows.slice(0, 400), test: rows.slice(400), options, metric: "f1" };
}

const SETS = {
  "banking77-5": () => banking(5),
  "banking77-10": () => banking(10),
  "banking77-30": () => banking(30),
  "banking77-all": () => banking(Number.POSITIVE_INFINITY),
  stars,
  german,
  "long-texts": longTexts,
  "three-rows": threeRows,
  "help-desk": helpDesk,
  "forty-entities": fortyEntities,
};
type SetName = keyof typeof SETS;

const [given, ...asked] = positionals;
const python = pythonOf(given);
const names = Object.keys(SETS) as SetName[];
const chosen = asked.length > 0 ? asked.map((name) => oneOf("set", name, names)) : names;

/** On a machine that also does other work, one thread is faster than several that wait for each other. */
const where = values.threads === undefined ? {} : { threads: Number(values.threads) };

const linesOf = (rows: readonly Row[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
/** As a spreadsheet's CSV, unless cells are lists. */
function tableOf(rows: readonly Row[]): [ending: string, text: string] {
  if (rows.some((row) => Object.values(row).some(Array.isArray))) return ["jsonl", linesOf(rows)];
  const cell = (value: unknown): string => `"${String(value).replaceAll('"', '""')}"`;
  const columns = Object.keys(rows[0]!);
  return [
    "csv",
    [columns.map(cell), ...rows.map((row) => columns.map((name) => cell(row[name])))]
      .map((cells) => `${cells.join(",")}\n`)
      .join(""),
  ];
}

/** What scikit-learn reaches with the vectors of the untrained encoder; undefined for words. */
async function peer(folder: string, { train, test, options }: DataSet): Promise<number | undefined> {
  if (Array.isArray(train[0]![options.text])) return undefined;
  const encoder = await loadEmbedder(undefined, nodeRuntime(where));
  const texts = (rows: readonly Row[]): string[] => rows.map((row) => String(row[options.text]));
  for (const [part, rows] of [
    ["train", train],
    ["test", test],
  ] as const) {
    const vectors = await encoder.embed(texts(rows));
    writeFileSync(
      join(folder, `${part}.vectors.jsonl`),
      linesOf(rows.map((row, i) => ({ label: row[options.label], vector: [...vectors[i]!] }))),
    );
  }
  await encoder.release();
  const script = new URL("../oracle/unfamiliar_data.py", import.meta.url).pathname;
  return Number(execFileSync(python, [script, folder], { encoding: "utf8" }));
}

for (const set of chosen) {
  // Each set is the same, whichever others are measured.
  random = xoroshiro128plus(1);
  const folder = join(values.output, set);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const data = await SETS[set]();
  const files = (["train", "test"] as const).map((part) => {
    const [ending, text] = tableOf(data[part]);
    const file = join(folder, `${part}.${ending}`);
    writeFileSync(file, text);
    return file;
  });
  const began = performance.now();
  const run = { ...data.options, ...where, train: files[0], output: join(folder, "run") } as FineTuneConfig;
  const { directory, notes, result } = await fineTune(run);
  const seconds = (performance.now() - began) / 1000;
  const { text, label } = data.options;
  const [found] = await evaluateRun(directory, { ...where, validation: files[1]!, text, label });
  const { [data.metric]: score } = found!.metrics;
  const beside = await peer(folder, data);
  const same = found!.beside?.["same answer for all"]?.[data.metric];
  const number = (value: number | undefined): string => (value === undefined ? "–" : value.toFixed(3));
  const error = found!.errors?.[data.metric];
  const cells = [
    set,
    data.train.length,
    data.test.length,
    data.metric,
    `${number(score)} ± ${number(error)}`,
    number(beside),
    number(same),
    `${seconds.toFixed(0)} s`,
  ];
  console.log(`| ${cells.join(" | ")} |`);
  for (const note of [...(result?.notes ?? []), ...notes].filter((each, i, all) => all.indexOf(each) === i))
    console.log(`  note: ${note}`);
}
