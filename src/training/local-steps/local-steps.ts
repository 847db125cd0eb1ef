import { opt, UserError } from "../../errors.ts";
import { asFloat32, float32, notFinite, type Tensor, type Tensors } from "../../graph/tensor.ts";
import type { Schedule } from "../../methods/method.ts";
import type { TrainingExample } from "../../tasks/task-kind.ts";
import type { Batches, StepBatch } from "../batches/batch-order.ts";
import { exampleSize } from "../batches/micro-batches.ts";
import type { CurrentStep } from "../current-step.ts";
import type { TrainingEvent } from "../events.ts";
import { refuseNotFinite, refuseOverflow } from "../not-finite.ts";
import { totalWeight } from "../objective/objective-inputs.ts";
import { learningRateFactor } from "../optimizer/learning-rate.ts";
import type { RunProgress } from "../run-progress.ts";
import { GRADIENT } from "../step-graph.ts";
import { unlessAborted } from "../stopping.ts";
import type { TrainingSettings, TrainOptions } from "../train-options.ts";
import type { TrainedParameters } from "../trained-parameters.ts";
import type { OuterOptimizer } from "./outer-optimizer.ts";
import { PARAMETER, type ReplicaSteps } from "./replica.ts";

export const REPLICAS = 4;

interface RoundContext {
  step: CurrentStep;
  batches: Batches<TrainingExample>;
  parameters: TrainedParameters;
  progress: RunProgress;
  optimizer: OuterOptimizer;
}

/** Checks that replicas can take local steps, if the settings ask for them. @throws UserError if they cannot. */
export function localStepsNotes(
  { localSteps, replicas, batchSize }: TrainingSettings,
  { afterStep, frozenBlocks }: Schedule,
  usesRollout: boolean,
): string[] {
  if (localSteps === undefined) {
    if (replicas === undefined) return [];
    throw new UserError(`${opt("replicas")} requires ${opt("localSteps")}; leave it out, or set ${opt("localSteps")}`);
  }
  const why = afterStep
    ? "this method changes the adapter after each step"
    : frozenBlocks
      ? `${opt("freezeBlocks")} keeps hidden states on one machine`
      : usesRollout
        ? "answers to learn from are written on one machine"
        : undefined;
  if (why) throw new UserError(`${opt("localSteps")} cannot be used in this run: ${why}; leave one of them out`);
  if (batchSize < (replicas ?? REPLICAS)) {
    throw new UserError(
      `${opt("replicas")} ${replicas ?? REPLICAS} cannot share batches of ${batchSize} examples; give a larger ${opt("batchSize")} or fewer replicas`,
    );
  }
  return [
    `${replicas ?? REPLICAS} replicas take ${localSteps} steps each before their adapters are joined (${opt("localSteps")}); ${opt("maxGradNorm")} has no effect`,
  ];
}

/**
 * One round of DiLoCo (Douillard et al. 2023, arXiv 2311.08105): replicas take some steps alone, each with its part of every batch and a
 * new AdamW; then an outer optimizer uses their mean change as a gradient.
 * @throws UserError if a loss, a gradient or a parameter is not finite
 */
export async function* trainRound(
  { step, batches, parameters, progress, optimizer }: RoundContext,
  { schedule, settings, signal }: TrainOptions,
  isDue: (step: number) => boolean,
): AsyncGenerator<TrainingEvent, boolean> {
  const from = progress.step;
  const most = Math.min(settings.localSteps!, batches.totalSteps - from);
  let count = 1;
  while (count < most && !isDue(from + count)) count++;
  const steps = Array.from({ length: count }, (_, i) => batches.at(from + i));
  const replicas = replicasOf(from, steps, { batches, parameters, schedule, settings });
  const started = performance.now();
  const results = await unlessAborted(all(step.advance(replicas, signal)), signal);
  if (!results) return false;
  const taken = steps.map(({ where }, i) => ({ ...meansOf(replicas, results, i, where), flopsSaved: 0 }));

  const [gradients, trained] = [GRADIENT, PARAMETER].map((prefix) => results.map((result) => named(result, prefix)));
  const training = parameters.countNow(trained![0]!);
  const mean = schedule.observe && meanOf(gradients!, count);
  const checks = steps.flatMap((_, i) => (mean && schedule.observe!(from + i, mean, parameters.tensors)) ?? []);
  optimizer.step(parameters.tensors, trained!);
  refuseOverflow(notFinite(parameters.tensors), steps.at(-1)!.where);
  const seconds = (performance.now() - started) / 1000 / count;

  for (const [i, { examples, epoch }] of steps.entries()) {
    // A matrix that freezes within the round trains until its end.
    if (i === count - 1 && checks.length > 0) {
      const check = { ...checks.at(-1)!, step: from + i, frozen: checks.flatMap(({ frozen }) => frozen) };
      progress.addCheck(check);
      optimizer.drop(check.frozen);
      yield { kind: "freezing", ...check, compileSeconds: await step.compileAfter(check) };
    }
    const learningRate = settings.learningRate * replicas[0]!.factors[i]!;
    const tokens = examples.reduce((sum, example) => sum + exampleSize(example).tokens, 0);
    const { gradientNorm, ...outcome } = taken[i]!;
    yield progress.addStep({ ...outcome, tokens }, { epoch, learningRate, gradientNorm, ...training, seconds });
  }
  return true;
}

function replicasOf(
  step: number,
  steps: readonly StepBatch<TrainingExample>[],
  {
    batches,
    parameters,
    schedule,
    settings,
  }: Pick<RoundContext, "batches" | "parameters"> & Pick<TrainOptions, "schedule" | "settings">,
): ReplicaSteps[] {
  const { replicas = REPLICAS } = settings;
  const common = {
    step,
    factors: steps.map((_, i) => learningRateFactor(step + i, batches.totalSteps, settings)),
    groups: parameters.groups(settings),
    returnsGradients: schedule.observe !== undefined,
  };
  const partOf = (batch: readonly TrainingExample[], k: number) =>
    batch.slice(Math.floor((k * batch.length) / replicas), Math.floor(((k + 1) * batch.length) / replicas));
  const parts = Array.from({ length: replicas }, (_, k) => steps.map(({ examples }) => partOf(examples, k)));
  return parts.filter((part) => part.some(({ length }) => length > 0)).map((part) => ({ ...common, batches: part }));
}

type Results = Readonly<Record<string, Tensor>>;

function meansOf(replicas: readonly ReplicaSteps[], results: readonly Results[], i: number, where: string) {
  const weights = replicas.map(({ batches }) => (batches[i]!.length > 0 ? totalWeight(batches[i]!) : 0));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const mean = (of: "losses" | "norms"): number =>
    results.reduce((sum, result, k) => sum + (weights[k]! / total) * Number(result[of]!.data[i]), 0);
  const [loss, gradientNorm] = [mean("losses"), mean("norms")];
  refuseNotFinite(loss, gradientNorm, where);
  const flops = results.reduce((sum, result) => sum + Number(result.flops!.data[0]) / replicas[0]!.batches.length, 0);
  return { loss, gradientNorm, flops };
}

function meanOf(sums: readonly Tensors<"float32">[], count: number): Map<string, Tensor<"float32">> {
  const factor = 1 / (count * sums.length);
  return new Map(
    [...sums[0]!].map(([name, { shape, data }]) => {
      const others = sums.map((sum) => sum.get(name)!.data);
      return [
        name,
        float32(
          shape,
          data.map((_, i) => factor * others.reduce((sum, values) => sum + values[i]!, 0)),
        ),
      ];
    }),
  );
}

async function all<Each>(values: AsyncIterable<Each>): Promise<Each[]> {
  const found: Each[] = [];
  for await (const value of values) found.push(value);
  return found;
}

const named = (results: Results, prefix: string): Map<string, Tensor<"float32">> =>
  new Map(
    Object.entries(results)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, tensor]) => [name.slice(prefix.length), asFloat32(tensor)]),
  );
