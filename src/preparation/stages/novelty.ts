import { learnNovelty } from "../../training/novelty/novelty.ts";
import { stageProgress } from "../../training/progress.ts";
import { choosesOne } from "./calibration.ts";
import type { EndOptions, RunEnding, Stage } from "./stage.ts";

/** Learns to recognise texts that are unlike the training examples, so that an answer can be "none of these". */
export const novelty: Stage<RunEnding, EndOptions> = {
  name: "novelty",
  needs: (ending, { novelty = true }) => novelty && ending.calibration !== undefined && choosesOne(ending),
  async run(ending, { signal, onProgress }) {
    const { plan, fineTuning, adapter } = ending;
    const { model, weights, validation, settings } = fineTuning.training;
    const { tokenBudget } = settings;
    const split = { train: plan.encoded.sample.encoded, held: validation.flatMap(({ encoded }) => encoded) };
    const answering = new Map([...weights, ...adapter.parameters]);
    const learned = await learnNovelty(model, answering, plan.runtime, split, {
      tokenBudget,
      signal,
      onDone: stageProgress(onProgress, "learning which texts are unlike these"),
    });
    return { ...ending, adapter: { ...adapter, novelty: learned } };
  },
};
