import { z } from "zod";
import { opt, UserError } from "../errors.ts";
import { andMore, quoted } from "./data-notes.ts";
import type { Example, TaskData } from "./example.ts";
import { type List, mapped, picked } from "./list.ts";
import { rowNoun } from "./row-survey.ts";
import { findTaskKind } from "./task-kinds.ts";

export const rowOptions = z.object({
  minClassRows: z
    .int()
    .min(2)
    .optional()
    .describe("minimum number of rows per class; smaller classes are merged into one, other (see --small-classes)"),
  smallClasses: z
    .enum(["merge", "drop"])
    .optional()
    .describe("with --min-class-rows: merge smaller classes into one named other, or drop their rows (default: merge)"),
  strict: z
    .boolean()
    .optional()
    .describe("end with an error if the rows have problems that are otherwise notes, such as spellings of one label"),
});

export type SmallClassOptions = Pick<z.output<typeof rowOptions>, "minClassRows" | "smallClasses">;

const OTHER = "other";
const MOST_NAMES = 3;

export function withoutSmallClasses(task: TaskData, { minClassRows, smallClasses }: SmallClassOptions): TaskData {
  if (minClassRows === undefined) {
    if (smallClasses === undefined) return task;
    throw new UserError(
      `${opt("smallClasses")} requires ${opt("minClassRows")}; add it, or leave ${opt("smallClasses")} out`,
    );
  }
  const { stratumOf } = findTaskKind(task.kind);
  if (!stratumOf || task.labels.length === 0) {
    throw new UserError(
      `${opt("minClassRows")} counts the rows of classes, which ${task.kind} does not have; leave it out`,
    );
  }
  const counts = task.labels.map(() => 0);
  for (const example of task.train) counts[stratumOf(example)]! += 1;
  const kept = task.labels.filter((_, i) => counts[i]! >= minClassRows);
  const small = task.labels.filter((_, i) => counts[i]! < minClassRows);
  if (small.length === 0) return task;
  const labels = smallClasses === "drop" || kept.includes(OTHER) ? kept : [...kept, OTHER];
  if (labels.length < 2) {
    throw new UserError(
      `with "minClassRows" ${minClassRows}, ${labels.length === 1 ? `only the class "${labels[0]}" is` : "no class is"} left; lower it`,
    );
  }
  const places = task.labels.map((label, i) =>
    counts[i]! >= minClassRows ? labels.indexOf(label) : smallClasses === "drop" ? undefined : labels.indexOf(OTHER),
  );
  const relabelled = (examples: List<Example>): List<Example> => {
    const strata = Uint32Array.from(examples, stratumOf);
    const left = Uint32Array.from(strata.keys()).filter((i) => places[strata[i]!] !== undefined);
    return mapped(picked(examples, left), (example, index) => ({
      ...example,
      index,
      label: places[strata[left[index]!]!]!,
    }));
  };
  const rows = task.labels.reduce((sum, _, i) => sum + (counts[i]! < minClassRows ? counts[i]! : 0), 0);
  const named = andMore(small.slice(0, MOST_NAMES).map(quoted), small.length);
  const became = smallClasses === "drop" ? "are left out" : `are now ${quoted(OTHER)}`;
  return {
    ...task,
    labels,
    train: relabelled(task.train),
    validation: task.validation.map(({ name, examples }) => ({ name, examples: relabelled(examples) })),
    notes: [
      ...(task.notes ?? []),
      `${rowNoun(rows)} of classes with fewer than ${minClassRows} rows (${named}) ${became}`,
    ],
  };
}
