import type { Example, TaskData } from "./example.ts";
import type { List } from "./list.ts";
import { findTaskKind } from "./task-kinds.ts";

/** Limit on notes, so that each of them is read. */
const MOST_NOTES = 5;
/** Rows below which a class is too small to learn and to be held out from. */
const FEW_ROWS = 3;
/** Share of the rows from which one class hides how good a model is. */
const DOMINATES = 0.9;
/** Limit on names in a note. */
const MOST_NAMES = 3;

/**
 * Notes on labels and rows that a user would want to mend before training, each with its remedy: spellings of one label, cells that hold
 * several labels, small classes, texts with different labels, rows in both splits, one class that dominates. Only for kinds whose
 * examples have one class each.
 */
export function dataNotes({ name, kind: kindName, labels, train, validation, heldOut }: TaskData): string[] {
  const { stratumOf, reads } = findTaskKind(kindName);
  // Published data sets are as they are.
  if (name !== "custom" || !stratumOf || labels.length === 0 || reads) return [];
  const held = validation.flatMap(({ examples }) => [...examples]);
  const all = [...train, ...held];
  const counts = labels.map(() => 0);
  for (const example of all) counts[stratumOf(example)]! += 1;
  const classes = labels.map((label, i) => ({ label, rows: counts[i]! }));
  return [
    ...spellingNotes(classes),
    ...severalLabelNotes(classes),
    ...conflictNotes(all, (example) => stratumOf(example)),
    ...smallClassNotes(classes),
    ...(heldOut ? [] : leakageNotes(train, held)),
    ...dominanceNotes(classes, all.length),
  ].slice(0, MOST_NOTES);
}

interface LabelledClass {
  label: string;
  rows: number;
}

/** Labels that differ only in case, spaces or accents. */
function spellingNotes(classes: readonly LabelledClass[]): string[] {
  const plain = (label: string): string =>
    label
      .normalize("NFKD")
      .replace(/\p{M}/gu, "")
      .replace(/[\s_-]+/g, " ")
      .trim()
      .toLowerCase();
  const groups = new Map<string, LabelledClass[]>();
  for (const each of classes) groups.set(plain(each.label), [...(groups.get(plain(each.label)) ?? []), each]);
  const alike = [...groups.values()].filter((group) => group.length > 1);
  if (alike.length === 0) return [];
  const named = alike.slice(0, MOST_NAMES).map((group) => group.map(({ label }) => quoted(label)).join(" and "));
  return [
    `labels differ only in case, spaces or accents: ${andMore(named, alike.length)}; each spelling is a class, so write them alike if they mean the same`,
  ];
}

/** Cells whose parts are labels of other rows. */
function severalLabelNotes(classes: readonly LabelledClass[]): string[] {
  const known = new Set(classes.map(({ label }) => label.trim()));
  const joined = classes.filter(({ label }) => {
    const parts = label.split(/[;|,]/).map((part) => part.trim());
    return parts.length > 1 && parts.every((part) => known.has(part));
  });
  if (joined.length === 0) return [];
  const named = joined.slice(0, MOST_NAMES).map(({ label }) => quoted(label));
  return [
    `${rowsOf(sumOf(joined))} with several labels in a cell, such as ${andMore(named, joined.length)}: each combination is a class; --kind multi-label learns the labels themselves`,
  ];
}

/** Texts that occur with different labels. */
function conflictNotes(examples: readonly Example[], classOf: (example: Example) => number): string[] {
  const first = new Map<string, number>();
  const conflicting = new Map<string, Example>();
  for (const example of examples) {
    const key = keyOf(example);
    const own = classOf(example);
    if ((first.get(key) ?? own) !== own) conflicting.set(key, example);
    else first.set(key, own);
  }
  if (conflicting.size === 0) return [];
  const [example] = conflicting.values();
  const texts = conflicting.size === 1 ? "1 text occurs" : `${conflicting.size} texts occur`;
  return [`${texts} with different labels, such as ${quoted(example!.text)}: decide on one (aflora check lists them)`];
}

function smallClassNotes(classes: readonly LabelledClass[]): string[] {
  const small = classes.filter(({ rows }) => rows > 0 && rows < FEW_ROWS);
  if (small.length === 0) return [];
  const named = small.slice(0, MOST_NAMES).map(({ label }) => quoted(label));
  const count = small.length === 1 ? "1 class has" : `${small.length} classes have`;
  return [
    `${count} fewer than ${FEW_ROWS} rows (${andMore(named, small.length)}), too few to learn from; add rows, or join classes`,
  ];
}

/** Rows of the validation file that are also training examples. */
function leakageNotes(train: List<Example>, held: readonly Example[]): string[] {
  const known = new Set(train.map(keyOf));
  const leaked = held.filter((example) => known.has(keyOf(example))).length;
  if (leaked === 0) return [];
  return [
    `${leaked} of ${held.length} validation examples are training examples, too, so the scores are too high; remove them from one of the two`,
  ];
}

function dominanceNotes(classes: readonly LabelledClass[], total: number): string[] {
  const largest = classes.reduce((most, each) => (each.rows > most.rows ? each : most));
  if (classes.length < 2 || largest.rows < DOMINATES * total) return [];
  const share = Math.floor((100 * largest.rows) / total);
  return [
    `${share} % of the rows are ${quoted(largest.label)}, so a model that always answers that is right as often; look at f1, or try --class-weights balanced`,
  ];
}

/** The texts of an example, without differences in space. */
const keyOf = ({ text, textPair = "" }: Example): string => `${text}\n${textPair}`.replace(/\s+/g, " ").trim();

const sumOf = (classes: readonly LabelledClass[]): number => classes.reduce((sum, { rows }) => sum + rows, 0);
const rowsOf = (count: number): string => (count === 1 ? "1 row" : `${count} rows`);
const andMore = (named: readonly string[], count: number): string =>
  named.join(", ") + (count > named.length ? ` and ${count - named.length} more` : "");

/** A label or text in quotes, cut to a readable length, without control characters. */
function quoted(text: string): string {
  const plain = text.replace(/\p{C}+/gu, " ");
  return `"${plain.length > 40 ? `${plain.slice(0, 39)}…` : plain}"`;
}
