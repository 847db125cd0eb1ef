import { opt, UserError } from "../errors.ts";
import type { Example, TaskData } from "./example.ts";
import type { LabelledClass, LabelledRow, RowSurvey } from "./row-survey.ts";
import { rowNoun, surveyRows } from "./row-survey.ts";
import { findTaskKind } from "./task-kinds.ts";

/** Limit on notes before training, so that each of them is read. */
const MOST_NOTES = 5;
/** Rows below which a class is too small to learn and to be held out from. */
const FEW_ROWS = 3;
/** Share of the rows from which one class hides how good a model is. */
const DOMINATES = 0.9;
const ENOUGH_ROWS = 10;
const MOST_ROWS = 0.9;
const MOST_NAMES = 3;

/**
 * Notes on texts and labels that a user would want to mend before training, each with its remedy: columns that hold
 * dates, ids or the answer; cells that hold several labels, spellings of one label, texts with different labels, rows
 * in both splits, small classes, one class that dominates, empty rows.
 */
export function dataNotes(rows: Iterable<LabelledRow>, skipped = 0): string[] {
  const survey = surveyRows(rows);
  return [
    ...columnNotes(survey),
    ...severalLabelNotes(survey.classes),
    ...spellingNotes(survey.classes),
    ...conflictNotes(survey),
    ...leakageNotes(survey),
    ...smallClassNotes(survey),
    ...dominanceNotes(survey),
    ...(skipped > 0 ? [`${rowNoun(skipped)} without any text or label: skipped`] : []),
  ];
}

export function taskNotes(task: TaskData): string[] {
  const { stratumOf, reads } = findTaskKind(task.kind);
  // Published data sets get no notes.
  if (task.name !== "custom" || !stratumOf || task.labels.length === 0 || reads) return [];
  return dataNotes(rowsOf(task, stratumOf), task.skipped);
}

function* rowsOf(task: TaskData, stratumOf: (example: Example) => number): Generator<LabelledRow> {
  const { labels, train, validation } = task;
  for (const example of train) yield { ...example, label: labels[stratumOf(example)]!, held: false };
  // A part of the training rows leaks nothing: rows with the same text are held out together.
  const held = task.heldOut === undefined;
  for (const { examples } of validation) {
    for (const example of examples) yield { ...example, label: labels[stratumOf(example)]!, held };
  }
}

export function shownNotes(notes: readonly string[], strict = false): readonly string[] {
  if (!strict || notes.length === 0) return notes.slice(0, MOST_NOTES);
  const count = notes.length === 1 ? "a problem" : `${notes.length} problems`;
  throw new UserError(
    `the examples have ${count}; fix them, or leave ${opt("strict")} out:\n${notes.map((note) => `- ${note}`).join("\n")}`,
  );
}

function columnNotes({ looks, classes, total }: RowSurvey): string[] {
  const { rows, dates, ids, told, labelDates } = looks;
  if (rows < ENOUGH_ROWS) return [];
  const most = (count: number): boolean => count >= MOST_ROWS * rows;
  const share = (count: number): string => `${Math.floor((100 * count) / rows)} %`;
  const manyClasses = classes.length > total / 2;
  return [
    ...(most(dates) || most(ids)
      ? [
          `the column of the texts holds ${most(dates) ? "dates" : "ids or numbers"}; name the texts' column with ${opt("text")}`,
        ]
      : []),
    ...(most(labelDates) ? [`the column of the labels holds dates; name the labels' column with ${opt("label")}`] : []),
    ...(manyClasses && !most(labelDates)
      ? [
          `${classes.length} labels for ${total} rows, as in a column of ids or free text; name the labels' column with ${opt("label")}`,
        ]
      : []),
    ...(most(told) && !manyClasses
      ? [
          `${share(told)} of the texts contain their own label, so the model learns to read it there; take it out if new texts lack it`,
        ]
      : []),
  ];
}

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

function severalLabelNotes(classes: readonly LabelledClass[]): string[] {
  const known = new Set(classes.map(({ label }) => label.trim()));
  const joined = classes.filter(({ label }) => {
    const parts = label.split(/[;|,]/).map((part) => part.trim());
    return parts.length > 1 && parts.every((part) => known.has(part));
  });
  if (joined.length === 0) return [];
  const named = joined.slice(0, MOST_NAMES).map(({ label }) => quoted(label));
  const count = joined.reduce((sum, { rows }) => sum + rows, 0);
  return [
    `${rowNoun(count)} with several labels in a cell, such as ${andMore(named, joined.length)}: each combination is a class; ${opt("kind")} multi-label learns the labels themselves`,
  ];
}

function conflictNotes({ contradicted: { count, such } }: RowSurvey): string[] {
  if (count === 0) return [];
  const texts = count === 1 ? "1 text occurs" : `${count} texts occur`;
  return [`${texts} with different labels, such as ${quoted(such)}: decide on one (aflora check lists them)`];
}

function smallClassNotes({ classes, total }: RowSurvey): string[] {
  const small = classes.filter(({ rows }) => rows < FEW_ROWS);
  if (small.length === 0 || classes.length > total / 2) return [];
  const named = small.slice(0, MOST_NAMES).map(({ label }) => quoted(label));
  const count = small.length === 1 ? "1 class has" : `${small.length} classes have`;
  return [
    `${count} fewer than ${FEW_ROWS} rows (${andMore(named, small.length)}), too few to learn from; add rows, or ${opt("minClassRows")} ${FEW_ROWS} joins them`,
  ];
}

function leakageNotes({ held, leaked }: RowSurvey): string[] {
  if (leaked === 0) return [];
  return [
    `${leaked} of ${held} validation examples are training examples, too, so the scores are too high; remove them from one of the two`,
  ];
}

function dominanceNotes({ classes, total }: RowSurvey): string[] {
  if (classes.length < 2) return [];
  const largest = classes.reduce((most, each) => (each.rows > most.rows ? each : most));
  if (largest.rows < DOMINATES * total) return [];
  const share = Math.floor((100 * largest.rows) / total);
  return [
    `${share} % of the rows are ${quoted(largest.label)}, so a model that always answers that is right as often; look at f1, or try ${opt("classWeights")} balanced`,
  ];
}

export const andMore = (named: readonly string[], count: number): string =>
  named.join(", ") + (count > named.length ? ` and ${count - named.length} more` : "");

export function quoted(text: string): string {
  const plain = text.replace(/\p{C}+/gu, " ");
  return `"${plain.length > 40 ? `${plain.slice(0, 39)}…` : plain}"`;
}
