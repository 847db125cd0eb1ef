import type { Value } from "../../graph/graph.ts";
import { cast, detach, exp, logLikelihood, mul, neg, reshape, slice, sub, sumAll } from "../../graph/ops.ts";
import type { Objective } from "./objective.ts";

/**
 * Columns of a target, which each token of an answer has as a row: the token, its answer's advantage, what the token's log-probability
 * was before training, and what the token counts for in the loss.
 */
export const REWARD_TARGET = { token: 0, advantage: 1, reference: 2, weight: 3 } as const;
export const REWARD_TARGET_WIDTH = 4;

/** How tokens of answers of unequal length count, by TRL's names. */
export const LOSS_TYPES = ["dapo", "dr-grpo", "grpo"] as const;
export type RewardLossType = (typeof LOSS_TYPES)[number];

/** By what an answer's distance from its group's mean reward is divided. */
export const SCALE_REWARDS = ["group", "batch", "none"] as const;
export type ScaleRewards = (typeof SCALE_REWARDS)[number];

/** What deviations are added to, so that nothing is divided by 0: TRL's. */
const EPSILON = 1e-4;

/**
 * Group relative policy optimisation (Shao et al. 2024, arXiv 2402.03300, eq. 3) with one step for each batch of answers: the policy that
 * wrote them is the one that learns, the ratio of the two is 1, and there is nothing to clip. What is left is the ratio's gradient.
 * @param beta weight of the KL divergence from the model before training, as eq. 4 estimates it; times the ratio its gradient has no bias
 * (DeepSeek-V3.2, arXiv 2512.02556), as in TRL
 * @param temperature at which answers are drawn: the policy is what they are drawn from
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
    // Tokens count by a column of their own: of answers that teach nothing none is there, and the others count no more for that.
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
 * How much better than the others of its group each answer is: `(r - mean) / (deviation + 1e-4)`. An answer without a reward counts
 * for nothing, nor for the others' mean.
 * @param groups rewards of the answers to each prompt
 * @param scale whose deviation: the group's, that of all answers, or none (Liu et al. 2025, arXiv 2503.20783)
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

/** NaN where none is known. */
export function meanOf(values: readonly (number | undefined)[]): number {
  const all = known(values);
  return all.reduce((sum, value) => sum + value, 0) / all.length;
}

/** As of a sample; NaN where fewer than two are known. */
export function deviationOf(values: readonly (number | undefined)[]): number {
  const mean = meanOf(values);
  const all = known(values);
  return Math.sqrt(all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (all.length - 1));
}

/**
 * What a token of each answer counts for: all tokens alike (`dapo`, Yu et al. 2025, arXiv 2503.14476), all alike and by a constant
 * (`dr-grpo`, arXiv 2503.20783), or all answers alike (`grpo`).
 * @param lengths tokens of each answer
 */
export function tokenWeights(lengths: readonly number[], type: RewardLossType, maxNewTokens: number): number[] {
  const all = lengths.reduce((sum, length) => sum + length, 0);
  return lengths.map((length) => {
    if (type === "dapo") return 1 / all;
    return 1 / (lengths.length * (type === "grpo" ? length : maxNewTokens));
  });
}
