import { head } from "../../methods/head.ts";
import { type BaseModel, withHead } from "../../model/base-model.ts";
import type { HeadFeatures } from "../../models/heads.ts";
import { MEAN_POOLING } from "../../models/pooling.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { TaskData } from "../../tasks/example.ts";
import { trainingExamples } from "../../tasks/examples.ts";
import { classWeightsOf } from "../../tasks/losses/class-weights.ts";
import { findTaskKind, objectiveOf, withTaskOptions } from "../../tasks/task-kinds.ts";
import { type FittedHead, fitHead, type HeadFitOptions } from "../../training/linear-head/fit-head.ts";
import { textLength } from "../long-examples.ts";
import type { FineTuningSettings } from "../training-options.ts";

/** A model whose head is the best linear one of what the model gives as it is, and the task with what that head reads. */
export interface HeadStart {
  base: BaseModel;
  task: TaskData;
  fitted: FittedHead;
}

/**
 * Fits a model's head before anything else is trained (LP-FT, Kumar et al. 2022, arXiv 2202.10054: from a new head the first
 * gradients would distort features that are good).
 * @returns undefined where the settings ask for a new head, or the task's loss has no optimum that can be found outright
 */
export async function startFromFittedHead(
  { base, task: given, settings }: { base: BaseModel; task: TaskData; settings: FineTuningSettings },
  runtime: Runtime,
  { signal, onFitting }: Pick<HeadFitOptions, "signal" | "onFitting"> = {},
): Promise<HeadStart | undefined> {
  const task = withTaskOptions(given, settings.taskOptions, base.config);
  const { linearLoss } = objectiveOf(task);
  if (settings.headStart !== "fitted" || !linearLoss) return undefined;
  const { tokenBudget, headFeatures, contrastive, seed } = settings;
  const classWeights = classWeightsOf(findTaskKind(task.kind), task);
  const encoded = trainingExamples(task, task.train, base.tokenizer, textLength(base, settings), classWeights);
  const fitted = await fitHead(
    { ...base, adaptation: head.adapt({}, []), trainsHead: () => false },
    new Map([...base.weights, ...base.quantized]),
    runtime,
    { task, examples: task.train, encoded },
    {
      candidates: headFeatures ? [headFeatures] : candidatesOf(base, contrastive),
      loss: linearLoss,
      tokenBudget,
      signal,
      onFitting,
    },
  );
  const reading = { ...given, features: fitted.features, ...(fitted.options && { options: fitted.options }) };
  const headed = await withHead(base, reading, seed);
  const made = [...fitted.weights.keys()].map((name) => headed.trace.weights.get(name)!);
  const others = headed.newWeights.filter(({ name }) => !fitted.weights.has(name));
  return {
    base: {
      ...headed,
      weights: new Map([...headed.weights, ...fitted.weights]),
      newWeights: [...others, ...made],
    },
    task: reading,
    fitted,
  };
}

/** What the head that a run starts from is, and how good, in a sentence. */
export function fittedNote({ task, fitted: { features, scores } }: HeadStart): string {
  const reads = features === "family" ? "" : ` to the model's ${WORDS[features]}`;
  if (!scores) return `the head starts fitted${reads}; with one example per class, nothing shows how good it is`;
  const [metric] = task.metrics;
  const error = scores.errors[metric!];
  const score = `${metric} ${scores.metrics[metric!]!.toFixed(3)}${error === undefined ? "" : ` ± ${error.toFixed(3)}`}`;
  return `the head starts fitted${reads}: ${score} on ${scores.examples} training examples, each left out of a fit in turn`;
}

const WORDS: Record<Exclude<HeadFeatures, "family">, string> = {
  sentence: "sentence vectors",
  mean: "mean over tokens",
  cls: "first token",
  lasttoken: "last token",
};

/**
 * What a head may read, the likeliest to be best first: the vector that the model was trained to embed texts by, tokens pooled
 * otherwise, and what the family's own head gives its last layer, where the checkpoint has all that stands before it.
 * @param contrastive whether what is read is to be trained as a vector
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
