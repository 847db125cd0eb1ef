import type { z } from "zod";
import type { embedding } from "./kinds/embedding.ts";
import type { languageModel } from "./kinds/language-model.ts";
import type { multiLabel } from "./kinds/multi-label.ts";
import type { preference } from "./kinds/preference.ts";
import type { rewardLearning } from "./kinds/reward-learning.ts";
import type { sequenceToSequence } from "./kinds/sequence-to-sequence.ts";
import type { classOptions } from "./losses/class-weights.ts";
import type { TaskKind } from "./task-kind.ts";

type OptionsOf<Kind> = Kind extends TaskKind<object, infer Options> ? z.input<Options> : never;

/**
 * The own options of kinds of task (docs/tasks.md), each of which goes with the kinds that have it. A program that registers a
 * kind declares its options here, so that they are checked like the others': `declare module "aflora" { interface TaskOptions { … } }`.
 */
export interface TaskOptions
  extends z.input<typeof classOptions>,
    OptionsOf<typeof embedding>,
    OptionsOf<typeof multiLabel>,
    OptionsOf<typeof languageModel>,
    OptionsOf<typeof sequenceToSequence>,
    OptionsOf<typeof preference>,
    OptionsOf<typeof rewardLearning> {}
