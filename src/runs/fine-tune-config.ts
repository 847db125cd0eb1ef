import type { z } from "zod";
import type { WithMethod } from "../methods/method-options.ts";
import type { runOptions } from "../preparation/run-options-node.ts";
import type { TaskOptions, TaskPredictions } from "../tasks/built-in-kinds.ts";

type Given = z.input<typeof runOptions>;
type DataOption = "task" | "data" | "train" | "validation" | "dataset" | "datasetConfig";

/** One data source; options of the others are left out. */
type Source<Own> = Own & { [Option in Exclude<DataOption, keyof Own>]?: undefined };

/** Where a run's examples come from: a published task's files, files of the user's own, or a data set on the hub. */
export type DataOptions =
  | Source<{ task: string; data: string }>
  | Source<{ train: string } & Pick<Given, "validation">>
  | Source<{ dataset: string } & Pick<Given, "datasetConfig">>;

/** Options of a run and of its kind of task, with any data and method; `aflora train --help` describes each. */
export type RunOptions = Omit<Given & TaskOptions, DataOption | "method" | "kind"> & {
  kind?: keyof TaskPredictions | undefined;
};

/** A run: its data, its options, a method (default: by the data) and the method's options. */
export type FineTuneConfig = WithMethod<RunOptions & DataOptions>;

/** A run to resume, in its folder. Options given again must be those of the run, except where and how to compute. */
export type ResumeConfig = WithMethod<
  RunOptions & { [Option in DataOption]?: string | undefined } & { output: string }
>;
