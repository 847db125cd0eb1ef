import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { opt, UserError } from "../../errors.ts";
import { readJsonFile } from "../../files/json-file-node.ts";
import type { Runtime } from "../../runtime/session.ts";
import {
  builtInReward,
  isRewardFile,
  REWARDS,
  type Reward,
  type RewardFunction,
  rewardOptions,
} from "../../tasks/reward-functions.ts";
import type { TaskOptionValues } from "../../tasks/task-kind.ts";
import { RewardWorker } from "./reward-file-node.ts";
import { openRewardModel } from "./reward-model-node.ts";

/**
 * Opens the reward function of a run: the user's own file or reward model, or one of the package.
 * @param options those of the kind of task, as they were given
 * @param openRuntime opens the runtime of a reward model
 * @throws UserError if none is given, or it cannot be used
 */
export async function openReward(options: TaskOptionValues, openRuntime: () => Runtime): Promise<Reward> {
  const { reward, rewardSchema, rewardTimeout, ...settings } = rewardOptions.parse(options);
  if (reward === undefined) {
    throw new UserError(
      `learning from rewards needs ${opt("reward")}: a file (reward.ts or reward.js), the folder of a reward model, or one of ${Object.keys(REWARDS).join(", ")}`,
    );
  }
  if (isRewardFile(reward)) return RewardWorker.start(resolve(reward), rewardTimeout);
  if (!Object.hasOwn(REWARDS, reward) && existsSync(reward)) return openRewardModel(resolve(reward), openRuntime());
  const schema = rewardSchema === undefined ? undefined : await schemaIn(rewardSchema);
  return scoredBy(builtInReward(reward, { ...settings, ...(schema !== undefined && { rewardSchema: schema }) }));
}

/** Wraps a function of the calling program as a reward. */
export const scoredBy = (reward: RewardFunction): Reward => ({
  async score(...asked) {
    try {
      return await reward(...asked);
    } catch (error) {
      throw new Error(`threw: ${(error as Error)?.message ?? error}`);
    }
  },
  release: async () => {},
});

async function schemaIn(file: string): Promise<unknown> {
  const schema = await readJsonFile(file);
  if (schema === undefined)
    throw new UserError(`${opt("rewardSchema")}: there is no file ${file}`, { code: "file-not-found" });
  return schema;
}
