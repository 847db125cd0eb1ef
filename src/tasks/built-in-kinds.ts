import type { z } from "zod";
import { audioClassification } from "./kinds/audio-classification.ts";
import { classification } from "./kinds/classification.ts";
import { embedding } from "./kinds/embedding.ts";
import { imageClassification } from "./kinds/image-classification.ts";
import { imageEmbedding } from "./kinds/image-embedding.ts";
import { languageModel } from "./kinds/language-model.ts";
import { multiLabel } from "./kinds/multi-label.ts";
import { preference } from "./kinds/preference.ts";
import { regression } from "./kinds/regression.ts";
import { reranker } from "./kinds/reranker.ts";
import { reward } from "./kinds/reward.ts";
import { rewardLearning } from "./kinds/reward-learning.ts";
import { sequenceToSequence } from "./kinds/sequence-to-sequence.ts";
import { tokenClassification } from "./kinds/token-classification.ts";

/** The package's kinds of task by name. To add a kind, write one file in `kinds/` and one line here. */
export const BUILT_IN_KINDS = {
  classification,
  regression,
  "multi-label": multiLabel,
  "token-classification": tokenClassification,
  "image-classification": imageClassification,
  "audio-classification": audioClassification,
  "language-model": languageModel,
  "sequence-to-sequence": sequenceToSequence,
  preference,
  reward,
  "reward-learning": rewardLearning,
  embedding,
  "image-embedding": imageEmbedding,
  reranker,
};

type Kinds = typeof BUILT_IN_KINDS;

/** Intersection of the members of a union. */
type AllOf<Union> = (Union extends unknown ? (each: Union) => void : never) extends (all: infer All) => void
  ? All
  : never;

/** The schema's input. A kind without options of its own has the type of every schema, whose input allows any key. */
type InputOf<Schema> = Schema extends z.ZodObject
  ? string extends keyof z.input<Schema>
    ? never
    : z.input<Schema>
  : never;

/** Predictions of the package's kinds, by the kinds' names. */
export type BuiltInPredictions = { [Name in keyof Kinds]: ReturnType<Kinds[Name]["describe"]> };

/** A prediction of any of the package's kinds. A kind that a program registers may have other fields. */
export type TextPrediction = Partial<AllOf<BuiltInPredictions[keyof Kinds]>>;

type BuiltInTaskOptions = AllOf<InputOf<NonNullable<Kinds[keyof Kinds]["options"]>>>;

/**
 * A model's prediction for one text, by the name of its kind of task (docs/tasks.md). A program that registers a kind declares
 * the kind's predictions here: `declare module "aflora/extend" { interface TaskPredictions { … } }`.
 */
export interface TaskPredictions extends BuiltInPredictions {}

/**
 * Options of kinds of task (docs/tasks.md). Each belongs to the kinds that have it. A program that registers a kind declares the
 * kind's options here, so that TypeScript checks them: `declare module "aflora/extend" { interface TaskOptions { … } }`.
 */
export interface TaskOptions extends BuiltInTaskOptions {}
