import type { z } from "zod";
import type { DataSource, RunConfig } from "../fine-tuning/run-options-node.ts";
import type { RunRecords } from "../runs/read-run.ts";
import type { Choice, Factor } from "./factors.ts";
import type { Reported, ReportedScores } from "./reported-scores.ts";
import type { TrialIdentity } from "./trial-identity.ts";

/** What to find out, and how. */
export interface Study {
  title: string;
  /** What the study asks, in words. */
  about?: string | undefined;
  /** Options of every trial. */
  options: Readonly<Record<string, unknown>>;
  factors: readonly Factor[];
  search: { algorithm: SearchAlgorithm; options: Readonly<Record<string, unknown>> };
  seeds: readonly number[];
  /** By which configurations are chosen; each task's first one where absent. */
  metric?: string | undefined;
  /** Which of its values is the best; as the metric's kind of task says where absent. */
  direction?: "highest" | "lowest" | undefined;
  /**
   * Share of the training examples on which epochs and configurations are chosen; 0: they are chosen on the validation
   * examples that scores are of, and nothing else is held out.
   */
  holdOut: number;
  /** Of language models: so many of the examples that scores are of are answered, and the answers scored. */
  generate?: number | undefined;
}

/** A way to go through what a study varies. */
export interface SearchAlgorithm<Options extends z.ZodObject = z.ZodObject> {
  /** As study files and `--search` name it. */
  readonly name: string;
  /** What it does, in a few words. */
  summary: string;
  /** Its own keys of a study file; each is a flag too. */
  readonly options: Options;
  /**
   * Begins with a study; no trial is run yet.
   * @param signal aborting ends it, with its reason
   * @throws UserError where the study does not suit it
   */
  begin(study: Study, options: z.output<Options>, signal?: AbortSignal): Promise<BegunSearch>;
}

export interface BegunSearch {
  /** Configurations that are planned and checked before the first trial starts. */
  choices: readonly Wanted[];
  /**
   * What it is expected to run, as far as that is known before.
   * @throws UserError where it cannot go on with these configurations
   */
  expects(configurations: readonly Configuration[]): readonly ExpectedRound[];
  /** What to train next, once what it asked for before has ended. */
  rounds(plan: StudyPlan, results: SearchResults): AsyncIterable<Round>;
}

/** A configuration to plan. */
export interface Wanted extends Choice {
  /** What it is for, where it is not one that the study compares: tables show those of one name together. */
  stage?: string;
  /** What a search has chosen for it, by the names of options. */
  found?: Readonly<Record<string, string>>;
  /** Whether its model is the one that is kept, and trained once more on all rows where few were held out. */
  refit?: boolean;
  /** The study's where absent, and so is what it holds out. */
  seeds?: readonly number[];
  holdOut?: number;
}

/** Trials that train from one epoch to another, infinity for their last. */
export interface ExpectedRound {
  trials: number;
  from: number;
  to: number;
}

/** Configurations to train next. */
export interface Round {
  configurations: readonly Configuration[];
  /** Epochs after which their trials pause; to their end where absent. */
  epochs?: number;
  /** What the reader of the terminal is told before it begins. */
  note?: string;
  /** When it ends whatever is under way (`performance.now()`): with the best evaluation so far, or as it is. */
  until?: TimeLimit;
}

export interface TimeLimit {
  time: number;
  by: "best" | "abort";
}

/** What a search is told of what has been run. */
export interface SearchResults {
  outcomesOf(configuration: Configuration): Promise<TrialOutcome[]>;
  /**
   * Configurations by their held-out score as mean over seeds, the best first, of equals the lower loss; those that failed,
   * or that have no score with every seed, are left out.
   * @param epochs the first so many alone count
   */
  ranked(configurations: readonly Configuration[], epochs?: number): Promise<Configuration[]>;
}

/** One run of a study. */
export interface Trial {
  /** Hash of what it is, the name of its folder. */
  id: string;
  identity: TrialIdentity;
  seed: number;
  /** Options of the run but its folder. */
  config: Readonly<Record<string, unknown>>;
  /** Absent where its own evaluations are all that is reported. */
  reported: Reported | undefined;
}

/** Trials that differ in their seed alone. */
export interface Configuration extends Pick<Wanted, "stage" | "found" | "refit">, Choice {
  /** `rte, lora, rank 4` */
  label: string;
  trials: readonly Trial[];
  source: DataSource;
  /** Whether its runs are evaluated on a part of their training examples. */
  holdsOut: boolean;
  /** Examples that a run trains on and that it is reported on (of a file not counted: 0), its epochs and batch. */
  length: { examples: number; reported: number; epochs: number; batchSize: number };
}

export interface StudyPlan {
  study: Study;
  search: BegunSearch;
  configurations: readonly Configuration[];
  expected: readonly ExpectedRound[];
  /** What the reader of the numbers must know. */
  notes: readonly string[];
  /** A trial's options resolved. */
  resolve(given: Readonly<Record<string, unknown>>): Promise<RunConfig>;
  /** Plans a configuration that the search has come to. @throws UserError where it cannot work */
  more(wanted: Wanted): Promise<Configuration>;
}

/** What a trial has come to. */
export interface TrialOutcome {
  trial: Trial;
  configuration: Configuration;
  directory: string;
  /** `pruned`: the search left it behind; `open`: it is yet to begin or to go on. */
  status: "finished" | "pruned" | "failed" | "open";
  /** Why it failed. */
  reason?: string;
  /** Epochs done. */
  epochs: number;
  records?: RunRecords;
  /** Absent while it has not finished, and where there are no data for it. */
  reported?: ReportedScores;
  /** Wall-clock seconds of its processes, where it had any of its own. */
  processSeconds?: number | undefined;
}

export interface StudyOutcome {
  trials: TrialOutcome[];
  interrupted: boolean;
}
