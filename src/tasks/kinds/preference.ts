import { z } from "zod";
import { opt, UserError } from "../../errors.ts";
import { float32, int32 } from "../../graph/tensor.ts";
import type { Tokenizer } from "../../inputs/tokenizer.ts";
import type { Example, Prediction } from "../example.ts";
import {
  PREFERENCE_LOSSES,
  PREFERENCE_TARGET,
  PREFERENCE_TARGET_WIDTH,
  type PreferenceLoss,
  type PreferenceRows,
  type PreferenceSettings,
  preferenceObjective,
} from "../losses/preference-losses.ts";
import { holdsJudged, holdsPairs, preferenceExamples, withAnswer } from "../preference-rows.ts";
import { truncateOption } from "../shortened-prompt.ts";
import type { EncodedExample, Metric, TaskKind, TaskOptionValues, TrainingExample } from "../task-kind.ts";
import { type EncodedText, perplexityOf, type TextLikelihood, writtenTokens } from "../written-tokens.ts";
import { languageModel } from "./language-model.ts";
import { sequenceToSequence } from "./sequence-to-sequence.ts";

const LOSSES = Object.keys(PREFERENCE_LOSSES) as PreferenceLoss[];

const options = z.object({
  preferenceLoss: z
    .enum(LOSSES)
    .optional()
    .describe("loss for preferences (default: dpo, or kto for examples with a label)"),
  beta: z
    .number()
    .positive()
    .optional()
    .describe("how strongly training stays near the starting model; also scales rewards (default: 0.1; simpo: 2)"),
  labelSmoothing: z
    .number()
    .min(0)
    .lt(0.5)
    .optional()
    .describe("share of pairs assumed to be labelled the wrong way round (dpo, simpo)"),
  gamma: z.number().min(0).optional().describe("difference in reward to reach (simpo; default: 1)"),
  truncate: truncateOption,
});

interface Settings extends PreferenceSettings {
  preferenceLoss: PreferenceLoss;
}

interface EncodedPreference extends EncodedExample {
  rows: Int32Array;
  tokens: number[][];
  settings: Settings | undefined;
}

type ScoredAnswer = NonNullable<Prediction["answers"]>[number];

const SMOOTHED: readonly PreferenceLoss[] = ["dpo", "simpo"];

function settingsOf(given: z.output<typeof options>, rows: PreferenceRows): Settings {
  const fitting = LOSSES.filter((name) => PREFERENCE_LOSSES[name].rows === rows);
  const { preferenceLoss = fitting[0]!, labelSmoothing, gamma } = given;
  if (!fitting.includes(preferenceLoss)) {
    const columns = rows === "pairs" ? "chosen and rejected" : "completion and label";
    throw new UserError(
      `${opt("preferenceLoss")} ${preferenceLoss} does not fit examples with ${columns}; use ${fitting.join(", ")}`,
    );
  }
  if (labelSmoothing !== undefined && !SMOOTHED.includes(preferenceLoss)) {
    throw new UserError(`${opt("labelSmoothing")} is for ${SMOOTHED.join(" and ")}, not for ${preferenceLoss}`);
  }
  if (gamma !== undefined && preferenceLoss !== "simpo") {
    throw new UserError(`${opt("gamma")} is for simpo, not for ${preferenceLoss}`);
  }
  return {
    preferenceLoss,
    beta: given.beta ?? PREFERENCE_LOSSES[preferenceLoss].beta,
    ...(labelSmoothing !== undefined && { labelSmoothing }),
    ...(preferenceLoss === "simpo" && { gamma: gamma ?? 1 }),
  };
}

const settingsIn = (options: TaskOptionValues): Settings | undefined =>
  options.preferenceLoss === undefined ? undefined : (options as unknown as Settings);

/** Encodes an answer: the continuation for a decoder, or the target text for an encoder-decoder. */
function encodedAnswer(example: Example, tokenizer: Tokenizer, maxLength: number, options: TaskOptionValues) {
  const { truncate } = options as { truncate?: z.output<typeof truncateOption> };
  return tokenizer.specialTokens.decoderStart
    ? sequenceToSequence.encode(example, tokenizer, maxLength, { truncate, maxTargetLength: maxLength })
    : languageModel.encode(example, tokenizer, maxLength, { lossOn: "last", truncate });
}

/** @param values `[rows, 1]`: current log-probabilities of the tokens of all answers */
function scoredAnswers(
  { tokens, settings, targets }: EncodedPreference & Partial<TrainingExample>,
  values: Float32Array,
): ScoredAnswer[] {
  let row = 0;
  return tokens.map(({ length }) => {
    const score = { tokens: length, logProbability: 0, reference: 0 };
    for (let i = 0; i < length; i++, row++) {
      score.logProbability += values[row]!;
      score.reference += targets!.data[row * PREFERENCE_TARGET_WIDTH + PREFERENCE_TARGET.reference]!;
    }
    const { logProbability, reference } = score;
    const { preferenceLoss = "dpo", beta = 1 } = settings ?? {};
    const { compares } = PREFERENCE_LOSSES[preferenceLoss];
    const reward = beta * (compares ? logProbability - reference : logProbability / Math.max(1, length));
    return { tokens: length, logProbability, reward };
  });
}

/** Rewards of good and of other answers: by order in pairs, by label for judged answers. Those that did not fit are left out. */
function rewardsOf(predictions: readonly Prediction[], examples: readonly Example[]): Record<"good" | "bad", number[]> {
  const rewards: Record<"good" | "bad", number[]> = { good: [], bad: [] };
  predictions.forEach(({ answers = [] }, i) => {
    const [own, other] = answers;
    const { label } = examples[i]!;
    // Pairs are compared by their places in the lists, so a pair without tokens must be in neither.
    if (!own?.tokens) return;
    rewards[label === 0 ? "bad" : "good"].push(own.reward);
    if (other && label === undefined) rewards.bad.push(other.reward);
  });
  return rewards;
}

const mean = (values: readonly number[]): number => values.reduce((sum, each) => sum + each / values.length, 0);

/** 1 or 0; 0.5 if the rewards are equal, as before training. */
const isBetter = (reward: number, other: number): number => (Math.sign(reward - other) + 1) / 2;

const ofRewards = (higherIsBetter: boolean, compute: (rewards: ReturnType<typeof rewardsOf>) => number): Metric => ({
  higherIsBetter,
  compute: (...given) => compute(rewardsOf(given[0], given[1])),
});

const METRICS: Record<PreferenceRows, string[]> = {
  pairs: ["reward_accuracy", "reward_margin", "reward_chosen", "reward_rejected", "perplexity"],
  judged: ["reward_margin", "reward_chosen", "reward_rejected", "perplexity"],
};

export const preference: TaskKind<TextLikelihood, typeof options> = {
  name: "preference",
  summary: "which of two answers is better (DPO, ORPO), or whether an answer is good (KTO)",
  refines: true,
  head: writtenTokens.head,
  objective: preferenceObjective("dpo", PREFERENCE_LOSSES.dpo),
  options,
  recipe: { epochs: 3, batchSize: 8, maxLength: 1024 },
  huggingFace: languageModel.huggingFace,
  recognition: {
    order: -1,
    fitsColumns: (table) => holdsPairs(table) || holdsJudged(table),
    fitsRows: () => false,
    labelsOfHead: () => undefined,
  },
  metrics: {
    reward_accuracy: ofRewards(true, ({ good, bad }) => mean(good.map((reward, i) => isBetter(reward, bad[i]!)))),
    reward_margin: ofRewards(true, ({ good, bad }) => mean(good) - mean(bad)),
    reward_chosen: ofRewards(true, ({ good }) => mean(good)),
    reward_rejected: ofRewards(false, ({ bad }) => mean(bad)),
    perplexity: {
      ...writtenTokens.metrics.perplexity,
      compute(predictions, examples) {
        const good = predictions.flatMap(({ answers = [] }, i) =>
          examples[i]!.label === 0 ? [] : answers.slice(0, 1),
        );
        return perplexityOf({
          tokens: good.reduce((sum, { tokens }) => sum + tokens, 0),
          logProbability: good.reduce((sum, { logProbability }) => sum + logProbability, 0),
        });
      },
    },
  },
  defaultMetrics: METRICS.pairs,
  table: {
    holds: { pairs: "pairs of answers", judged: "answers with a label" },
    read(table, columns) {
      const { rows, examples } = preferenceExamples(table, columns);
      return { examples, labels: [], metrics: METRICS[rows], options: { rows } };
    },
  },
  optionsFor: (given, { options = {} }) => ({
    ...options,
    ...settingsOf(given, (options.rows as PreferenceRows | undefined) ?? "pairs"),
    truncate: given.truncate,
  }),
  objectiveFor(options) {
    const settings = settingsIn(options);
    return settings ? preferenceObjective(settings.preferenceLoss, settings) : preference.objective;
  },

  outputs: writtenTokens.outputs,
  labelsIn: () => [],
  columnsIn: languageModel.columnsIn!,
  exampleOfRow: languageModel.exampleOfRow,
  exampleOfInput: languageModel.exampleOfInput,
  encode(example, tokenizer, maxLength, options = {}): EncodedPreference {
    const answers = [example.textPair ?? example.messages, ...(example.texts ?? [])].map(
      (_, which) => encodedAnswer(withAnswer(example, which), tokenizer, maxLength, options) as EncodedText,
    );
    const [own, ...others] = answers as [EncodedText];
    const cut = answers.some((each) => each.cut);
    const settings = settingsIn(options);
    // If an answer is too long, none of its tokens count, and the other answer alone teaches nothing.
    if (answers.some(({ rows, decoderCut }) => rows.length === 0 || decoderCut)) {
      const { index, encoding, decoder } = own;
      return {
        index,
        encoding,
        ...(decoder && { decoder }),
        rows: new Int32Array(),
        cut: true,
        tokens: [[]],
        settings,
      };
    }
    const tokens = answers.map(({ targets }) => [...targets.data]);
    return { ...own, texts: others, cut, tokens, settings };
  },
  targets({ index, label }, encoded) {
    const { tokens } = encoded as EncodedPreference;
    const rows = tokens.flatMap((answer, place) => answer.map((token) => ({ token, place })));
    const targets = float32([rows.length, PREFERENCE_TARGET_WIDTH]);
    rows.forEach(({ token, place }, row) => {
      const values = { token, example: index, place, reference: 0, good: label ?? 1 };
      for (const [name, column] of Object.entries(PREFERENCE_TARGET)) {
        targets.data[row * PREFERENCE_TARGET_WIDTH + column] = values[name as keyof typeof values];
      }
    });
    // An example counts once, with its first token.
    return { targets, weights: Float32Array.from(rows, (_, row) => (row === 0 ? 1 : 0)) };
  },
  predict: (_labels, _example, encoded, values) => ({ answers: scoredAnswers(encoded as EncodedPreference, values) }),
  describe(_labels, _example, encoded, values) {
    const { tokens, logProbability } = scoredAnswers(encoded as EncodedPreference, values)[0]!;
    return { tokens, logProbability, perplexity: perplexityOf({ tokens, logProbability }) };
  },
  lineOf: writtenTokens.lineOf,
  writing: {
    countedParts(encoded, tokenizer) {
      const [tokens = []] = (encoded as EncodedPreference).tokens;
      const own = { ...encoded, targets: int32([tokens.length], Int32Array.from(tokens)) };
      return (encoded.decoder ? sequenceToSequence : languageModel).writing!.countedParts!(own, tokenizer);
    },
  },
};
