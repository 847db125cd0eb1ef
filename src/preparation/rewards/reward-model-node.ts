import { opt, UserError } from "../../errors.ts";
import { loadFineTunedModel } from "../../inference/load-fine-tuned-model-node.ts";
import type { Runtime } from "../../runtime/session.ts";
import { answerTo, isRewardModel, type Reward } from "../../tasks/reward-functions.ts";

/**
 * Opens a user's reward model as a reward.
 * @param folder a run or an adapter
 * @throws UserError if it cannot be loaded, or was trained for another kind of task
 */
export async function openRewardModel(folder: string, runtime: Runtime): Promise<Reward> {
  const model = await loadFineTunedModel(folder, runtime);
  if (!isRewardModel(model.kind)) {
    await model.release();
    throw new UserError(
      `${opt("reward")}: the model in ${folder} is for ${model.kind.name}; name one that scores answers`,
    );
  }
  return {
    async score(prompt, answer) {
      const [found] = await model.predictLabels([answerTo(prompt, answer)]);
      return Number(found!.label);
    },
    release: () => model.release(),
  };
}
