import type { Value } from "../../graph/graph.ts";
import {
  add,
  cast,
  detach,
  div,
  exp,
  gemm,
  log,
  logLikelihood,
  mul,
  neg,
  relu,
  reshape,
  sigmoid,
  slice,
  softplus,
  sub,
  sumAll,
} from "../../graph/ops.ts";
import { asRow, equal } from "../batch-masks.ts";
import type { Objective } from "./objective.ts";

/** Types of preferences: two answers to a prompt, one of which is better, or one answer that is good or not. */
export type PreferenceRows = "pairs" | "judged";

/**
 * Columns of a target, one row per token of an answer: the token, the number of its example, its answer's position in the example,
 * the token's log-probability before training, and, for judged answers, whether the answer is good (1) or not (0).
 */
export const PREFERENCE_TARGET = { token: 0, example: 1, place: 2, reference: 3, good: 4 } as const;
export const PREFERENCE_TARGET_WIDTH = 5;

/** Positions of answers: the chosen or judged one, and the rejected one or, for a judged answer, that to another prompt. */
export const ANSWER = { own: 0, other: 1 } as const;

export interface PreferenceSettings {
  /** Strength of the pull towards the starting model. For ORPO, the weight of the odds ratio, λ. */
  beta: number;
  /** Assumed share of pairs that are labelled the wrong way round (`dpo` and `simpo`). */
  labelSmoothing?: number | undefined;
  /** Target difference of rewards (`simpo`). */
  gamma?: number | undefined;
}

interface Answer {
  /** Logarithm of its probability, now and before training. */
  logProbability: Value;
  reference: Value;
  /** Number of its tokens; 1 if there are none. */
  length: Value;
}

interface Answers extends Record<keyof typeof ANSWER, Answer> {
  good: Value;
  /** Weight of each row, `[rows, 1]`: only the first row of an example has one. */
  weights: Value;
}

/** Loss of each row's example, `[rows, 1]`. */
type Loss = (answers: Answers, settings: PreferenceSettings) => Value;

const logRatio = ({ logProbability, reference }: Answer): Value => sub(logProbability, reference);
const perToken = (sum: Value, { length }: Answer): Value => div(sum, length);
const average = (answer: Answer): Value => perToken(answer.logProbability, answer);

/** `-log σ(x)`; if a share of pairs may be the wrong way round, `-(1 - ε) log σ(x) - ε log σ(-x)`. */
const smoothedLogistic = (x: Value, smoothing = 0): Value =>
  smoothing === 0 ? softplus(neg(x)) : add(mul(softplus(neg(x)), 1 - smoothing), mul(softplus(x), smoothing));

/** Rafailov et al. 2023, arXiv 2305.18290, eq. 7; with label smoothing, conservative DPO. */
const dpo: Loss = ({ own, other }, { beta, labelSmoothing }) =>
  smoothedLogistic(mul(sub(logRatio(own), logRatio(other)), beta), labelSmoothing);

/** Zhao et al. 2023, arXiv 2305.10425, with the rewards of DPO. */
const hinge: Loss = ({ own, other }, { beta }) => relu(sub(1, mul(sub(logRatio(own), logRatio(other)), beta)));

/** Azar et al. 2023, arXiv 2310.12036, eq. 17, with means over tokens. */
const ipo: Loss = ({ own, other }, { beta }) => {
  const error = sub(sub(perToken(logRatio(own), own), perToken(logRatio(other), other)), 1 / (2 * beta));
  return mul(error, error);
};

/** Meng et al. 2024, arXiv 2405.14734, eq. 6, without a comparison with the model before training. */
const simpo: Loss = ({ own, other }, { beta, gamma = 0, labelSmoothing }) =>
  smoothedLogistic(sub(mul(sub(average(own), average(other)), beta), gamma), labelSmoothing);

/** `log p / (1 - p)` of the mean over tokens. */
const logOdds = (answer: Answer): Value => {
  const mean = average(answer);
  return sub(mean, log(sub(1, exp(mean))));
};

/** Hong et al. 2024, arXiv 2403.07691, eq. 6: the chosen answer's own loss, and the logarithm of the odds ratio. */
const orpo: Loss = ({ own, other }, { beta }) =>
  add(neg(average(own)), mul(softplus(sub(logOdds(other), logOdds(own))), beta));

/**
 * Ethayarajh et al. 2024, arXiv 2402.01306, eq. 8. The model's distance from its start is estimated on answers to other prompts, over
 * the batch, without a gradient.
 */
const kto: Loss = ({ own, other, good, weights }, { beta }) => {
  const moved = detach(relu(sumAll(mul(logRatio(other), weights))));
  const gain = mul(sub(logRatio(own), moved), beta);
  return sub(1, sigmoid(mul(gain, sub(mul(good, 2), 1))));
};

interface LossEntry {
  rows: PreferenceRows;
  loss: Loss;
  beta: number;
  compares: boolean;
}

/** Losses by the value of `--preference-loss`. The first that fits the type of rows is the default. */
export const PREFERENCE_LOSSES = {
  dpo: { rows: "pairs", loss: dpo, beta: 0.1, compares: true },
  hinge: { rows: "pairs", loss: hinge, beta: 0.1, compares: true },
  ipo: { rows: "pairs", loss: ipo, beta: 0.1, compares: true },
  simpo: { rows: "pairs", loss: simpo, beta: 2, compares: false },
  orpo: { rows: "pairs", loss: orpo, beta: 0.1, compares: false },
  kto: { rows: "judged", loss: kto, beta: 0.1, compares: true },
} satisfies Readonly<Record<string, LossEntry>>;

export type PreferenceLoss = keyof typeof PREFERENCE_LOSSES;

/** Objective over the answers whose tokens are the rows of a batch. */
export function preferenceObjective(name: PreferenceLoss, settings: PreferenceSettings): Objective {
  const { loss, rows, compares } = PREFERENCE_LOSSES[name];
  const { token, example, place, reference, good } = PREFERENCE_TARGET;
  const columnOf = (targets: Value, column: number): Value => slice(targets, 1, column, column + 1);
  return {
    couples: rows === "judged" ? "batch" : "nothing",
    target: () => ({ dtype: "float32", shape: [PREFERENCE_TARGET_WIDTH] }),
    rowValue: (outputs, targets) =>
      logLikelihood(outputs, reshape(cast(columnOf(targets, token), "int32"), [targets.shape[0]!])),
    ...(compares && { reference }),
    loss(values, targets, weights) {
      const number = columnOf(targets, example);
      const together = equal(number, asRow(number));
      const answerAt = (which: number): Answer => {
        const own = mul(together, asRow(equal(columnOf(targets, place), which)));
        const ones = equal(number, number);
        const length = gemm(own, ones);
        return {
          logProbability: gemm(own, values),
          reference: gemm(own, columnOf(targets, reference)),
          length: add(length, equal(length, 0)),
        };
      };
      const answers = {
        own: answerAt(ANSWER.own),
        other: answerAt(ANSWER.other),
        good: columnOf(targets, good),
        weights,
      };
      return sumAll(mul(loss(answers, settings), weights));
    },
  };
}
