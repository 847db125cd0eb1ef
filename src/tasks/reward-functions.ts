import { RE2JS } from "re2js";
import { z } from "zod";
import { opt, UserError } from "../errors.ts";
import type { ChatMessage } from "../inputs/chat-template.ts";
import type { Example } from "./example.ts";
import type { TaskKind } from "./task-kind.ts";

/**
 * Returns the reward of an answer; higher is better. The prompt is a text, or the turns of a conversation. `row` is the prompt's row of
 * the data by column, with the correct answer, for example.
 *
 *     export default (prompt, answer, row) => (answer.includes(row.city) ? 1 : 0);
 */
export type RewardFunction = (
  prompt: string | readonly ChatMessage[],
  answer: string,
  row: Readonly<Record<string, unknown>>,
) => number | Promise<number>;

export interface Reward {
  /** @throws Error with the reason if an answer has no reward. */
  score(...asked: Parameters<RewardFunction>): Promise<number>;
  release(): Promise<void>;
}

export const rewardOptions = z.object({
  reward: z
    .string()
    .min(1)
    .optional()
    .describe(
      "how answers are scored: by a file (reward.ts or reward.js), the run of a reward model, or last-number, json, regex or length",
    ),
  rewardSchema: z.string().min(1).optional().describe("file with the JSON Schema that valid answers match (json)"),
  rewardPattern: z.string().min(1).optional().describe("regular expression that answers must match (regex)"),
  rewardWords: z.int().positive().optional().describe("number of words that answers should have (length)"),
  rewardTimeout: z.number().positive().default(10).describe("time limit for the reward of an answer, in seconds"),
});

export interface RewardSettings extends Pick<z.output<typeof rewardOptions>, "rewardPattern" | "rewardWords"> {
  rewardSchema?: unknown;
}

export const REWARD_PATHS: readonly string[] = ["reward", "rewardSchema"];

interface BuiltInReward {
  needs?: keyof RewardSettings;
  make(settings: RewardSettings): RewardFunction;
}

function lastNumber(text: string): number {
  return Number(
    text
      .match(/-?\d[\d,]*(\.\d+)?/g)
      ?.at(-1)
      ?.replaceAll(",", "") ?? Number.NaN,
  );
}

function validBy(schema: unknown): (value: unknown) => boolean {
  try {
    const read = z.fromJSONSchema(schema as z.core.JSONSchema.JSONSchema);
    return (value) => read.safeParse(value).success;
  } catch (error) {
    throw new UserError(`${opt("rewardSchema")} is not a usable JSON Schema: ${(error as Error).message}`);
  }
}

function matcherOf(pattern: string): (text: string) => boolean {
  try {
    const expression = RE2JS.compile(pattern);
    return (text) => expression.matcher(text).find();
  } catch (error) {
    throw new UserError(`${opt("rewardPattern")} cannot be read: ${(error as Error).message}`);
  }
}

export const REWARDS: Readonly<Record<string, BuiltInReward>> = {
  /** 1 if the last number of the answer equals that of the column `answer`, as in GSM8K. */
  "last-number": {
    make: () => (_prompt, answer, row) => {
      const right = lastNumber(String(row.answer ?? ""));
      if (Number.isNaN(right)) throw new Error('the row has no number in its column "answer"');
      return lastNumber(answer) === right ? 1 : 0;
    },
  },
  json: {
    needs: "rewardSchema",
    make({ rewardSchema }) {
      const isValid = validBy(rewardSchema);
      return (_prompt, answer) => {
        try {
          return isValid(JSON.parse(answer)) ? 1 : 0;
        } catch {
          return 0;
        }
      };
    },
  },
  regex: {
    needs: "rewardPattern",
    make({ rewardPattern = "" }) {
      const matches = matcherOf(rewardPattern);
      return (_prompt, answer) => (matches(answer) ? 1 : 0);
    },
  },
  /** 1 for an answer with the requested number of words, 0 for none or twice as many, and linear in between. */
  length: {
    needs: "rewardWords",
    make:
      ({ rewardWords = 1 }) =>
      (_prompt, answer) => {
        const words = answer.split(/\s+/).filter(Boolean).length;
        return Math.max(0, 1 - Math.abs(words - rewardWords) / rewardWords);
      },
  },
};

export const isRewardModel = ({ rewards }: Pick<TaskKind, "rewards">): boolean => rewards === true;

export const answerTo = (prompt: string | readonly ChatMessage[], answer: string): Example =>
  typeof prompt === "string"
    ? { index: 0, text: prompt, textPair: answer }
    : { index: 0, text: "", messages: [...prompt, { role: "assistant", content: answer }] };

export const isRewardFile = (reward: string): boolean => /\.[cm]?[jt]s$/.test(reward);

export const namesCode = ({ reward }: Readonly<Record<string, unknown>>): boolean =>
  typeof reward === "string" && isRewardFile(reward);

export const namesReward = (option: string, value: string): boolean =>
  option === "reward" && Object.hasOwn(REWARDS, value);

export function builtInReward(name: string, settings: RewardSettings): RewardFunction {
  const found = Object.hasOwn(REWARDS, name) ? REWARDS[name] : undefined;
  if (!found) {
    throw new UserError(
      `there is no reward "${name}"; give a file (reward.ts or reward.js), the folder of a reward model, or one of ${Object.keys(REWARDS).join(", ")}`,
    );
  }
  const given = Object.entries(settings).flatMap(([option, value]) => (value === undefined ? [] : [option]));
  const { needs } = found;
  const other = given.find((option) => option !== needs);
  if (other) throw new UserError(`${opt(other)} does not go with ${opt("reward")} ${name}; leave it out`);
  if (needs && !given.includes(needs)) throw new UserError(`${opt("reward")} ${name} needs ${opt(needs)}`);
  return found.make(settings);
}
