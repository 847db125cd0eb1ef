import type { TrainingExample } from "../tasks/task-kind.ts";
import { Batches } from "./batches/batch-order.ts";
import { CurrentStep } from "./current-step.ts";
import { ScheduledEvaluations } from "./evaluation/evaluation-schedule.ts";
import type { TrainingEvent } from "./events.ts";
import { trainRound } from "./local-steps/local-steps.ts";
import { OuterOptimizer } from "./local-steps/outer-optimizer.ts";
import { finiteNorm, refuseOverflow } from "./not-finite.ts";
import { AdamW } from "./optimizer/adamw.ts";
import { clippingFactor, scaleGradients } from "./optimizer/gradient-norm.ts";
import { learningRateFactor } from "./optimizer/learning-rate.ts";
import { emitted, type ProgressEvent } from "./progress.ts";
import { RunProgress } from "./run-progress.ts";
import { Stopping, unlessAborted } from "./stopping.ts";
import { stepOf, type TrainOptions } from "./train-options.ts";
import { TrainedParameters } from "./trained-parameters.ts";

/**
 * Fine-tunes with AdamW and yields events; the run ends if the caller requests no further event. The same options give
 * the same numbers, to the bit, even if the run is interrupted and resumed.
 * @throws UserError if the loss, a gradient, a parameter or the model's outputs are not finite, naming it and the step.
 */
export async function* train(options: TrainOptions): AsyncGenerator<TrainingEvent, void> {
  const { model, schedule, weights, settings, signal, resume, contrast } = options;
  const batches = new Batches(stepOf(options).train, settings);
  const movesBack = contrast !== undefined;
  const parameters = new TrainedParameters(model, schedule, weights, { saved: resume, movesBack });
  const optimizer = settings.localSteps
    ? new OuterOptimizer(resume?.optimizer)
    : new AdamW(parameters.groups(settings), resume?.optimizer);
  const progress = new RunProgress({ parameters, optimizer, schedule }, options);
  const stopping = new Stopping(options, progress, batches);
  const evaluations = new ScheduledEvaluations(options, batches);
  yield { kind: "progress", stage: "compiling the training step", done: 0, unit: "graphs" };
  const step = await CurrentStep.compile(options);
  try {
    if (resume) await step.restore(batches, resume);
    for (;;) {
      if (evaluations.isDue(progress.step)) {
        // A contrastive loss moves parameters further than is good for other texts, so they are evaluated and kept part of the way back.
        const undoMove = contrast && progress.step > 0 ? parameters.moveBack(contrast.kept) : undefined;
        const found = yield* emitted<ProgressEvent, Awaited<ReturnType<typeof evaluations.take>> | undefined>((emit) =>
          unlessAborted(evaluations.take(progress.step, emit), signal),
        );
        if (found) progress.addEvaluation(found.evaluation);
        undoMove?.();
        if (!found) break;
        if (found.scores) yield found.scores;
        yield found.evaluation;
        yield progress.checkpoint(true);
      }
      if (stopping.now) break;

      const context = { step, batches, parameters, progress };
      const taken =
        optimizer instanceof OuterOptimizer
          ? trainRound({ ...context, optimizer }, options, (at) => evaluations.isDue(at))
          : trainStep({ ...context, optimizer }, options);
      if (!(yield* taken)) break;
      yield progress.checkpoint(false);
    }

    const aborted = !stopping.atEnd || evaluations.isDue(progress.step);
    if (aborted && evaluations.begun && !progress.isSaved) yield progress.checkpoint(true);
    if (!aborted)
      for (const text of [...step.notes, ...progress.notes, ...evaluations.notes]) yield { kind: "note", text };
    yield progress.end({ kept: step.kept, aborted });
  } finally {
    await step.release();
    await evaluations.release();
  }
}

interface StepContext {
  step: CurrentStep;
  batches: Batches<TrainingExample>;
  parameters: TrainedParameters;
  progress: RunProgress;
  optimizer: AdamW;
}

async function* trainStep(
  { step, batches, parameters, progress, optimizer }: StepContext,
  { schedule, settings, signal }: TrainOptions,
): AsyncGenerator<TrainingEvent, boolean> {
  const t = progress.step;
  const { examples, ahead, epoch, where } = batches.at(t);
  const started = performance.now();
  const outcome = await unlessAborted(step.run(t, examples, signal, ahead), signal);
  if (!outcome) return false;
  const { gradients } = outcome;
  const training = parameters.countNow(gradients);

  const check = schedule.observe?.(t, gradients, parameters.tensors);

  const gradientNorm = finiteNorm(outcome, where);
  const clipping = clippingFactor(gradientNorm, settings.maxGradNorm);

  const factor = learningRateFactor(t, batches.totalSteps, settings);
  refuseOverflow(optimizer.step(parameters.tensors, gradients, factor, clipping), where);
  if (schedule.afterStep) {
    scaleGradients(gradients, clipping);
    schedule.afterStep(t, gradients, parameters.tensors);
  }
  const seconds = (performance.now() - started) / 1000;

  if (check) {
    progress.addCheck(check);
    optimizer.drop([...check.frozen, ...(schedule.frozenBlocks?.().parameters ?? [])]);
    yield { kind: "freezing", ...check, compileSeconds: await step.compileAfter(check) };
  }
  const learningRate = settings.learningRate * factor;
  yield progress.addStep(outcome, { epoch, learningRate, gradientNorm, ...training, seconds });
  return true;
}
