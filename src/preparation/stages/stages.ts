import type { RunPlan } from "../run-plan.ts";
import { calibration } from "./calibration.ts";
import { contrast } from "./contrast.ts";
import { findings } from "./findings.ts";
import { fittedHead } from "./fitted-head.ts";
import { float32Base } from "./float32-base.ts";
import { methodStart } from "./method-start.ts";
import { novelty } from "./novelty.ts";
import { ownParameters } from "./own-parameters.ts";
import { placement } from "./placement.ts";
import { referenceAnswers } from "./reference-answers.ts";
import { refit } from "./refit.ts";
import { sampleAnswers } from "./sample-answers.ts";
import type { EndOptions, RunEnding, Stage, StartOptions } from "./stage.ts";

/** Stages between the reading of a run's data and its first step, in order. */
export const BEFORE_THE_LOOP: readonly Stage<RunPlan, StartOptions>[] = [
  fittedHead,
  methodStart,
  contrast,
  placement,
  referenceAnswers,
];

/** Stages between a run's last step and its adapter, in order. */
export const AFTER_THE_LOOP: readonly Stage<RunEnding, EndOptions>[] = [
  calibration,
  novelty,
  findings,
  sampleAnswers,
  float32Base,
  refit,
  ownParameters,
];
