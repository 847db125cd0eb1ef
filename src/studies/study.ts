import type { z } from "zod";
import type { DataSource, RunConfig } from "../preparation/run-options-node.ts";
import type { RunRecords } from "../runs/read-run.ts";
import type { Choice, Factor } from "./factors.ts";
import type { Reported, ReportedScores } from "./reported-scores.ts";
import type { TrialIdentity } from "./trial-identity.ts";

/** A question, and how to answer it with many runs. */
export interface Study {
  title: string;
  about?: string | undefined;
  options: Readonly<Record<string, unknown>>;
  factors: readonly Factor[];
  search: { algorithm: SearchAlgorithm; options: Readonly<Record<string, unknown>> };
  seeds: readonly number[];
  /** Metric for choosing configurations (default: each task's first). */
  metric?: string | undefined;
  /** Whether the metric's highest or lowest value is best (default: as the metric's kind of task defines). */
  direction?: "highest" | "lowest" | undefined;
  /**
   * Share of the training examples that choose epochs and configurations. With 0, the validation examples of the scores choose them, and
   * nothing else is held out.
   */
  holdOut: number;
  /** For language models: number of the scored examples to answer; the answers are scored. */
  generate?: number | undefined;
  /** Whether its best model is kept, so that trials learn all that its answers need. */
  keepsBest?: boolean | undefined;
  /** Sizes from which `--estimate` computes hours and memory, before anything is downloaded. */
  estimate?: StudySizes | undefined;
}

/** Sizes of a study's model and data, and speeds of machines. */
export interface StudySizes {
  /** Path of the model's config.json, from the study file. */
  model: string;
  /** By the data's name: rows to train on and to score, the mean number of tokens of a row, and of an encoder-decoder's answer. */
  data: Readonly<Record<string, { rows: number; scored: number; tokens: number; answer?: number | undefined }>>;
  /** GFLOP/s of a training step, by the machine's name. */
  speeds: Readonly<Record<string, number>>;
}

export interface SearchAlgorithm<Options extends z.ZodObject = z.ZodObject> {
  /** Name in study files and for `--search`. */
  readonly name: string;
  summary: string;
  /** Keys for study files; each is a flag, too. */
  readonly options: Options;
  /**
   * Starts the search of a study. Runs no trial.
   * @param signal aborting ends it, with the signal's reason
   * @throws UserError if the study does not suit the algorithm
   */
  begin(study: Study, options: z.output<Options>, signal?: AbortSignal): Promise<BegunSearch>;
}

export interface BegunSearch {
  /** Configurations that are planned and checked before the first trial. */
  choices: readonly Wanted[];
  /**
   * Expected rounds, as far as they are known.
   * @throws UserError if the search cannot continue with these configurations
   */
  expects(configurations: readonly Configuration[]): readonly ExpectedRound[];
  rounds(plan: StudyPlan, results: SearchResults): AsyncIterable<Round>;
}

export interface Wanted extends Choice {
  /** Purpose of a configuration that is not one of those that the study compares. Tables group them by this name. */
  stage?: string;
  /** Values that a search chose for it, by option. */
  found?: Readonly<Record<string, string>>;
  /** Whether its model is the one to keep. It is trained once more on all rows if they are few. */
  refit?: boolean;
  /** Seeds, and held-out share (default: the study's). */
  seeds?: readonly number[];
  holdOut?: number;
}

/** Trials that train from one epoch to another; infinity for the last. */
export interface ExpectedRound {
  trials: number;
  from: number;
  to: number;
}

export interface Round {
  configurations: readonly Configuration[];
  /** Epochs after which their trials pause (default: at their end). */
  epochs?: number;
  note?: string;
  /** When running trials must end (`performance.now()`): with the best evaluation so far, or by an abort. */
  until?: TimeLimit;
}

export interface TimeLimit {
  time: number;
  by: "best" | "abort";
}

export interface SearchResults {
  outcomesOf(configuration: Configuration): Promise<TrialOutcome[]>;
  /**
   * Configurations by their held-out score, as mean over seeds, best first; the lower loss decides between equals. Leaves out
   * configurations
   * that failed, or that lack a score for some seed.
   * @param epochs counts only this many first epochs
   */
  ranked(configurations: readonly Configuration[], epochs?: number): Promise<Configuration[]>;
}

export interface Trial {
  /** Hash of its identity, which is the name of its folder. */
  id: string;
  identity: TrialIdentity;
  seed: number;
  config: Readonly<Record<string, unknown>>;
  /** Undefined if only its own evaluations are reported. */
  reported: Reported | undefined;
}

/** Trials that differ only in their seed. */
export interface Configuration extends Pick<Wanted, "stage" | "found" | "refit">, Choice {
  /** Such as `rte, lora, rank 4`. */
  label: string;
  trials: readonly Trial[];
  source: DataSource;
  /** Whether its runs are evaluated on a part of their training examples. */
  holdsOut: boolean;
  /** Number of examples for training and for reporting (0 for a file, which is not counted), epochs (a fraction with `maxSteps`) and batch size. */
  length: { examples: number; reported: number; epochs: number; batchSize: number };
}

export interface StudyPlan {
  study: Study;
  search: BegunSearch;
  configurations: readonly Configuration[];
  expected: readonly ExpectedRound[];
  /** Notes that a reader of the results must know. */
  notes: readonly string[];
  resolve(given: Readonly<Record<string, unknown>>): Promise<RunConfig>;
  more(wanted: Wanted): Promise<Configuration>;
}

export interface TrialOutcome {
  trial: Trial;
  configuration: Configuration;
  directory: string;
  /** `pruned`: the search dropped it. `open`: it has not begun, or can be resumed. */
  status: "finished" | "pruned" | "failed" | "open";
  reason?: string;
  epochs: number;
  records?: RunRecords;
  /** Undefined if the trial has not finished, or if there is no data for it. */
  reported?: ReportedScores;
  /** Wall-clock seconds of its processes, if it had any. */
  processSeconds?: number | undefined;
}

export interface StudyOutcome {
  trials: TrialOutcome[];
  interrupted: boolean;
}
