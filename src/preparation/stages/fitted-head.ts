import type { HeadFeatures } from "../../architectures/heads.ts";
import { MEAN_POOLING } from "../../architectures/pooling.ts";
import { type BaseModel, withHead } from "../../base-models/base-model.ts";
import { head } from "../../methods/head.ts";
import type { TaskData } from "../../tasks/example.ts";
import { objectiveOf, withTaskOptions } from "../../tasks/task-kinds.ts";
import { type FittedHead, fitHead } from "../../training/linear-head/fit-head.ts";
import { startExamples } from "../enough-examples.ts";
import { canFitHead, type RunPlan } from "../run-plan.ts";
import type { Stage, StageOptions } from "./stage.ts";

/**
 * Starts a new run from a fitted head: from a new one, the first gradients would distort good features (LP-FT, Kumar et al. 2022,
 * arXiv 2202.10054).
 */
export const fittedHead: Stage<RunPlan> = {
  name: "fitted head",
  needs: (plan) => !plan.start && !plan.resume && canFitHead(plan),
  async run(plan, options) {
    const { base, task: given, encoded, settings } = plan;
    const fitted = await fitPlannedHead(plan, options);
    const task = { ...given, features: fitted.features, ...(fitted.options && { options: fitted.options }) };
    const taskOptions = { ...settings.taskOptions, ...fitted.options };
    return {
      ...plan,
      task,
      base: withFitted(await withHead(base, task, settings.seed), fitted),
      // Options that a fit finds choose answers; they do not change how examples are encoded.
      encoded: { ...encoded, task: withTaskOptions(task, taskOptions, base.config) },
      settings: { ...settings, headFeatures: fitted.features, taskOptions },
      notes: [...plan.notes, fittedNote(task, fitted)],
    };
  },
};

/** Fits the head of a plan to the training examples. @throws the signal's reason */
export function fitPlannedHead(
  { base, encoded: { task, sample }, settings, runtime }: RunPlan,
  { signal, onProgress }: StageOptions,
): Promise<FittedHead> {
  const { tokenBudget, headFeatures, contrastive, epochs } = settings;
  const candidates = headFeatures ? [headFeatures] : candidatesOf(base, contrastive);
  return fitHead(
    { ...base, adaptation: head.adapt({}, []), trainsHead: () => false },
    new Map([...base.weights, ...base.quantized]),
    runtime,
    { task, ...sample },
    {
      candidates,
      loss: objectiveOf(task).linearLoss!,
      mostExamples: epochs > 0 ? startExamples(task) : undefined,
      tokenBudget,
      signal,
      onProgress,
    },
  );
}

function withFitted(base: BaseModel, { weights }: FittedHead): BaseModel {
  const made = [...weights.keys()].map((name) => base.trace.weights.get(name)!);
  const others = base.newWeights.filter(({ name }) => !weights.has(name));
  return { ...base, weights: new Map([...base.weights, ...weights]), newWeights: [...others, ...made] };
}

/** Describes the head that a run starts from, its score, and the number of examples that it was fitted to if not to all. */
function fittedNote(
  { metrics: [metric], labels, train: { length: all } }: TaskData,
  { features, fittedTo, scores }: FittedHead,
): string {
  const reads = features === "family" ? "" : ` to the model's ${WORDS[features]}`;
  const part = fittedTo < all ? `; ${counts(fittedTo)} of the ${counts(all)} examples are enough to fit it` : "";
  if (!scores) {
    const why = all > labels.length ? "this number of classes" : "one example per class";
    return `the head starts fitted${reads}; with ${why}, nothing shows how good it is${part}`;
  }
  const error = scores.errors[metric!];
  const score = `${metric} ${scores.metrics[metric!]!.toFixed(3)}${error === undefined ? "" : ` ± ${error.toFixed(3)}`}`;
  const shown = `on ${scores.examples} training examples by cross-validation`;
  return `the head starts fitted${reads}: ${score} ${shown}${part}`;
}

const counts = (count: number): string => count.toLocaleString("en-US");

const WORDS: Record<Exclude<HeadFeatures, "family">, string> = {
  sentence: "sentence vectors",
  mean: "mean over tokens",
  cls: "first token",
  lasttoken: "last token",
};

/**
 * Features that a head may read, the likeliest to be best first: the vector that the model was trained to embed texts with, tokens
 * pooled in other ways, and the input of the last layer of the family's own head, if the checkpoint has everything before that layer.
 * @param contrastive whether training will move the features as vectors
 */
function candidatesOf(
  { head: name, trace, newWeights, architecture, pooling = MEAN_POOLING }: BaseModel,
  contrastive: boolean,
): HeadFeatures[] {
  if (name !== "sequence") return ["family"];
  const embeds = pooling !== MEAN_POOLING;
  const pooled: HeadFeatures[] = architecture.kind === "encoder" ? ["mean", "cls"] : ["lasttoken", "mean"];
  const isClassifier = (name: string): boolean => name.startsWith(`${trace.classifier}.`);
  const before = [...trace.weights.values()].filter(({ name, part }) => part === "head" && !isClassifier(name));
  const isOwn = !contrastive && before.length > 0 && !newWeights.some(({ name }) => !isClassifier(name));
  return [
    ...(embeds ? (["sentence"] as const) : []),
    ...pooled.filter((mode) => !embeds || mode !== pooling.mode),
    ...(isOwn && trace.weights.has(`${trace.classifier}.bias`) ? (["family"] as const) : []),
  ];
}
