import type { Value } from "../../graph/graph.ts";
import { cast, detach, exp, logLikelihood, mul, neg, reshape, slice, sub, sumAll } from "../../graph/ops.ts";
import type { Objective } from "./objective.ts";

/**
 * Columns of a target, one row per token of an answer: the token, its answer's advantage, the token's log-probability
 * before training, and the token's weight in the loss.
 */
export const REWARD_TARGET = { token: 0, advantage: 1, reference: 2, weight: 3 } as const;
export const REWARD_TARGET_WIDTH = 4;

/** Weighting of tokens in answers of unequal length, with TRL's names. */
export const LOSS_TYPES = ["dapo", "dr-grpo", "grpo"] as const;
export type RewardLossType = (typeof LOSS_TYPES)[number];

/** Standard deviation by which an answer's distance from its group's mean reward is divided. */
export const SCALE_REWARDS = ["group", "batch", "none"] as const;
export type ScaleRewards = (typeof SCALE_REWARDS)[number];

/** Addend to deviations that avoids a division by 0, as in TRL. */
const EPSILON = 1e-4;

/**
 * Group relative policy optimization (Shao et al. 2024, arXiv 2402.03300, eq. 3) with one step per batch of answers: the policy that
 * generated them is the one that learns, so the ratio of the two is 1 and nothing is clipped. Only the ratio's gradient remains.
 * @param beta weight of the KL divergence from the model before training, estimated as in eq. 4; times the ratio its gradient is unbiased
 * (DeepSeek-V3.2, arXiv 2512.02556), as in TRL
 * @param temperature of sampling: the policy is the distribution that answers are sampled from
 */
export function rewardObjective({
  beta = 0,
  temperature = 1,
}: {
  beta?: number | undefined;
  temperature?: number;
}): Objective {
  const { token, advantage, reference, weight } = REWARD_TARGET;
  const columnOf = (targets: Value, column: number): Value => slice(targets, 1, column, column + 1);
  return {
    couples: "nothing",
    target: () => ({ dtype: "float32", shape: [REWARD_TARGET_WIDTH] }),
    rowValue: (outputs, targets) =>
      logLikelihood(
        temperature === 1 ? outputs : mul(outputs, 1 / temperature),
        reshape(cast(columnOf(targets, token), "int32"), [targets.shape[0]!]),
      ),
    ...(beta > 0 && { reference }),
    // The weight is a column of its own: answers that teach nothing are left out, and the others do not count more because of that.
    loss(values, targets) {
      const ratio = exp(sub(values, detach(values)));
      const gain = columnOf(targets, advantage);
      const back = sub(columnOf(targets, reference), values);
      const cost = beta > 0 ? sub(mul(sub(sub(exp(back), back), 1), beta), gain) : neg(gain);
      return sumAll(mul(mul(ratio, cost), columnOf(targets, weight)));
    },
  };
}

/**
 * Advantage of each answer over the others of its group: `(r - mean) / (deviation + 1e-4)`. An answer without a reward has advantage 0
 * and does not count for the mean.
 * @param groups rewards of the answers to each prompt
 * @param scale deviation to divide by: the group's, that of all answers, or none (Liu et al. 2025, arXiv 2503.20783)
 */
export function advantagesOf(groups: readonly (readonly (number | undefined)[])[], scale: ScaleRewards): number[][] {
  const ofBatch = deviationOf(groups.flat());
  return groups.map((rewards) => {
    const mean = meanOf(rewards);
    const deviation = scale === "group" ? deviationOf(rewards) : ofBatch;
    const divisor = scale === "none" ? 1 : deviation + EPSILON;
    return rewards.map((reward) => (reward === undefined ? 0 : (reward - mean) / divisor || 0));
  });
}

const known = (values: readonly (number | undefined)[]): number[] => values.filter((value) => value !== undefined);

export function meanOf(values: readonly (number | undefined)[]): number {
  const all = known(values);
  return all.reduce((sum, value) => sum + value, 0) / all.length;
}

export function deviationOf(values: readonly (number | undefined)[]): number {
  const mean = meanOf(values);
  const all = known(values);
  return Math.sqrt(all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (all.length - 1));
}

/**
 * Weight of each token, by answer: all tokens equally (`dapo`, Yu et al. 2025, arXiv 2503.14476), all equally with a constant
 * (`dr-grpo`, arXiv 2503.20783), or all answers equally (`grpo`).
 * @param lengths number of tokens of each answer
 */
export function tokenWeights(lengths: readonly number[], type: RewardLossType, maxNewTokens: number): number[] {
  const all = lengths.reduce((sum, length) => sum + length, 0);
  return lengths.map((length) => {
    if (type === "dapo") return 1 / all;
    return 1 / (lengths.length * (type === "grpo" ? length : maxNewTokens));
  });
}
