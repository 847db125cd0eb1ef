import { z } from "zod";
import { opt, UserError } from "../../errors.ts";
import { float32 } from "../../graph/tensor.ts";
import { messagesIn } from "../conversation.ts";
import type { Example, Prediction } from "../example.ts";
import {
  advantagesOf,
  LOSS_TYPES,
  meanOf,
  REWARD_TARGET,
  REWARD_TARGET_WIDTH,
  rewardObjective,
  SCALE_REWARDS,
  tokenWeights,
} from "../losses/grpo.ts";
import { promptIds, promptOf } from "../prompt.ts";
import { rewardOptions } from "../reward-functions.ts";
import { columnOf, list, type Table, textOf } from "../rows.ts";
import type {
  AnsweredPrompt,
  EncodedExample,
  Metric,
  TaskKind,
  TaskOptionValues,
  TrainingExample,
} from "../task-kind.ts";
import { type EncodedText, perplexityOf, type TextLikelihood, writtenTokens } from "../written-tokens.ts";
import { languageModel } from "./language-model.ts";

const PROMPTS = ["prompt", "messages", "conversations", "question", "instruction", "text"];

const options = z.object({
  ...rewardOptions.shape,
  numGenerations: z
    .int()
    .min(2)
    .max(1024)
    .default(8)
    .describe("answers to each prompt, which are compared with each other"),
  maxNewTokens: z.int().positive().max(32_768).default(128).describe("limit on tokens per answer"),
  temperature: z.number().positive().default(1).describe("temperature at which answers are sampled"),
  beta: z.number().min(0).optional().describe("weight of the KL divergence from the starting model (default: 0)"),
  lossType: z
    .enum(LOSS_TYPES)
    .default("dapo")
    .describe("how answers of unequal length count: all tokens equally (dapo, dr-grpo) or all answers equally (grpo)"),
  scaleRewards: z
    .enum(SCALE_REWARDS)
    .default("group")
    .describe(
      "standard deviation that rewards are divided by: that of the answers to a prompt, that of all answers of a step, or none",
    ),
});

/** Options that describe how an adapter was trained, without the location of its reward. */
const savedOptions = options.omit({
  reward: true,
  rewardSchema: true,
  rewardPattern: true,
  rewardWords: true,
  rewardTimeout: true,
});

const settingsIn = (given: TaskOptionValues): z.output<typeof savedOptions> => savedOptions.parse(given);

function promptColumn(table: Table, named: string | undefined): string {
  const found = named ?? PROMPTS.find((name) => table.columns.includes(name));
  if (found !== undefined) return found;
  throw new UserError(
    `${table.source} has the columns ${list(table.columns)}; name the one with the prompts with ${opt("text")}`,
  );
}

/** Prompts, each with its whole row. A conversation ends before the assistant's last turn. */
function promptsOf(table: Table, named: string | undefined): Omit<Example, "index">[] {
  return columnOf(table, promptColumn(table, named)).map((cell, i) => {
    const cells = table.rows.at(i)!.cells.map((value, column) => [table.columns[column]!, value] as const);
    const row = Object.fromEntries(cells.filter(([, value]) => value !== undefined));
    if (!Array.isArray(cell.value)) return { place: cell.place, text: textOf(cell), row };
    const messages = messagesIn(cell);
    const asked = messages.findLast(({ role }) => role === "user");
    return { place: cell.place, text: asked?.content ?? "", messages, row };
  });
}

function answered(
  { encoding }: EncodedExample,
  ids: readonly number[],
  index: number,
  counts: { advantage: number; weight: number },
): TrainingExample {
  const { length } = encoding.inputIds;
  const targets = float32([ids.length, REWARD_TARGET_WIDTH]);
  ids.forEach((token, row) => {
    const values = { token, reference: 0, ...counts };
    for (const [name, column] of Object.entries(REWARD_TARGET)) {
      targets.data[row * REWARD_TARGET_WIDTH + column] = values[name as keyof typeof values];
    }
  });
  const inputIds = Int32Array.from([...encoding.inputIds, ...ids]);
  return {
    index,
    encoding: { inputIds, tokenTypeIds: new Int32Array(inputIds.length) },
    // The output of a row predicts the next token.
    rows: Int32Array.from(ids, (_, i) => length - 1 + i),
    targets,
    weights: new Float32Array(ids.length).fill(1),
  };
}

function examplesOf(prompts: readonly AnsweredPrompt[], given: TaskOptionValues): TrainingExample[] {
  const { beta = 0, lossType, scaleRewards, maxNewTokens, numGenerations } = settingsIn(given);
  const advantages = advantagesOf(
    prompts.map(({ answers }) => answers.map(({ reward }) => reward)),
    scaleRewards,
  ).flat();
  const all = prompts.flatMap(({ prompt, answers }) => answers.map(({ ids }, i) => ({ prompt, ids, i })));
  const weights = tokenWeights(
    all.map(({ ids }) => ids.length),
    lossType,
    maxNewTokens,
  );
  const examples = all.map(({ prompt, ids, i }, answer) =>
    answered(prompt, ids, prompt.index * numGenerations + i, {
      advantage: advantages[answer]!,
      weight: weights[answer]!,
    }),
  );
  // If all answers to a prompt are equally good, their gradient is 0.
  const teaching = beta > 0 ? examples : examples.filter((_, answer) => advantages[answer] !== 0);
  return teaching.length > 0 ? teaching : examples.slice(0, 1);
}

const ofAnswers = (
  higherIsBetter: boolean,
  compute: (answers: readonly NonNullable<Prediction["written"]>[]) => number,
): Metric => ({
  higherIsBetter,
  compute: (predictions) => compute(predictions.flatMap(({ written }) => written ?? [])),
});

export const rewardLearning: TaskKind<TextLikelihood, typeof options> = {
  name: "reward-learning",
  summary: "answers that get a higher reward, by a function of your own (GRPO)",
  refines: true,
  head: writtenTokens.head,
  modelKind: "decoder",
  objective: rewardObjective({}),
  options,
  recipe: { epochs: 1, batchSize: 4, maxLength: 1024 },
  huggingFace: languageModel.huggingFace,
  metrics: {
    reward: ofAnswers(true, (answers) => meanOf(answers.map(({ reward }) => reward))),
    answer_tokens: ofAnswers(false, (answers) => meanOf(answers.map(({ tokens }) => tokens)) || 0),
  },
  defaultMetrics: ["reward", "answer_tokens"],
  table: {
    read: (table, { text }) => ({
      examples: promptsOf(table, text),
      labels: [],
      metrics: [...rewardLearning.defaultMetrics],
      options: {},
    }),
  },
  optionsFor: (given) => settingsIn(given),
  objectiveFor: (given) => rewardObjective(settingsIn(given)),
  writing: { rollout: { settings: settingsIn, examplesOf } },

  outputs: writtenTokens.outputs,
  labelsIn: () => [],
  columnsIn: languageModel.columnsIn!,
  exampleOfRow: languageModel.exampleOfRow,
  exampleOfInput: languageModel.exampleOfInput,
  encode(example, tokenizer, maxLength, given = {}) {
    if (example.textPair !== undefined) return languageModel.encode(example, tokenizer, maxLength, { lossOn: "last" });
    const ids = promptIds(promptOf(example, tokenizer), tokenizer);
    const { maxNewTokens } = settingsIn(given);
    const fits = ids.length + maxNewTokens <= maxLength;
    return {
      index: example.index,
      encoding: { inputIds: Int32Array.from(ids), tokenTypeIds: new Int32Array(ids.length) },
      rows: fits ? Int32Array.of(ids.length - 1) : new Int32Array(),
      cut: !fits,
    };
  },
  targets(_example, encoded) {
    const { rows } = encoded as EncodedText;
    const targets = float32([rows.length, REWARD_TARGET_WIDTH]);
    // A prompt without an answer has no tokens to predict.
    const { targets: tokens } = encoded as Partial<EncodedText>;
    tokens?.data.forEach((token, row) => {
      targets.data[row * REWARD_TARGET_WIDTH + REWARD_TARGET.token] = token;
    });
    return { targets, weights: new Float32Array(rows.length).fill(1) };
  },
  predict: () => ({}),
  describe(_labels, _example, _encoded, values) {
    const said = { tokens: values.length, logProbability: values.reduce((sum, value) => sum + value, 0) };
    return { ...said, perplexity: perplexityOf(said) };
  },
  lineOf: writtenTokens.lineOf,
};
