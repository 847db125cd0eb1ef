import type { BaseModel } from "../../base-models/base-model.ts";
import { opt, UserError } from "../../errors.ts";
import type { Tensors } from "../../graph/tensor.ts";
import { CachedDecoder } from "../../inference/generation/cached-decoder.ts";
import { generateTokens, type TokenOptions } from "../../inference/generation/generate-tokens.ts";
import { generationOptions } from "../../inference/generation/generation-options.ts";
import { readGenerationSettings } from "../../inference/generation-settings.ts";
import { randomFor } from "../../methods/initializers.ts";
import type { Example, TaskData } from "../../tasks/example.ts";
import { computeMetrics, scoresOf } from "../../tasks/examples.ts";
import { deviationOf, meanOf } from "../../tasks/losses/grpo.ts";
import { promptOf } from "../../tasks/prompt.ts";
import type { Reward } from "../../tasks/reward-functions.ts";
import type { AnsweredPrompt, RolloutSettings, TaskKind, TrainingExample } from "../../tasks/task-kind.ts";
import { findTaskKind, objectiveOf } from "../../tasks/task-kinds.ts";
import type { EncodedSplit, Evaluation } from "../../training/evaluation/evaluate.ts";
import { Predictor } from "../../training/prediction/predictor.ts";
import { withReferenceValues } from "../../training/prediction/reference.ts";
import type { TellDone } from "../../training/progress.ts";
import type { Rollout } from "../../training/rollout.ts";
import type { TrainOptions } from "../../training/train-options.ts";
import { TrainedParameters } from "../../training/trained-parameters.ts";
import type { SampleAnswer } from "../../training/training-records.ts";

/** Number of answers that are written at once: each keeps the keys and values of all its tokens. */
const AT_ONCE = 32;

/** Number of answers that an evaluation shows. */
const SAMPLES = 4;

/** The task and the reward of a rollout. */
interface Asking {
  base: Pick<BaseModel, "files" | "tokenizer" | "architecture">;
  task: TaskData;
  reward: Reward;
}

/** A model with weights that training changes in place. */
type Trained = Pick<TrainOptions, "model" | "weights" | "schedule" | "settings" | "runtime" | "resume">;

/** A written answer: its token ids, including the end, and its text. */
interface Written {
  ids: number[];
  text: string;
}

interface Scored extends Written {
  reward: number | undefined;
}

interface Writer {
  decoder: CachedDecoder;
  eosTokenIds: readonly number[];
}

/** Writes answers to prompts with the model's current weights, and scores them. */
export class AnswerRollout implements Rollout {
  readonly #asking: Asking;
  readonly #trained: Trained;
  /** Copies of the trained parameters before training. */
  readonly #untrained: Tensors;
  readonly #settings: RolloutSettings;
  readonly #asked: ReadonlyMap<number, Example>;
  #writer: Promise<Writer> | undefined;
  #predictor: Promise<Predictor> | undefined;
  /** All different rewards so far, and whether two answers to one prompt ever differed in theirs. */
  readonly #rewards = new Set<number>();
  #differed: boolean;
  #failures: number;
  #failure: string | undefined;

  private constructor(asking: Asking, trained: Trained) {
    const { task } = asking;
    this.#asking = asking;
    this.#trained = trained;
    this.#untrained = new TrainedParameters(trained.model, trained.schedule, trained.weights).copy();
    this.#settings = findTaskKind(task.kind).writing!.rollout!.settings(task.options ?? {});
    // The rewards of steps before a run was resumed are not known: some may have differed.
    this.#differed = trained.resume !== undefined;
    this.#failures = trained.resume?.rollout?.failed ?? 0;
    this.#asked = new Map(task.train.map((example) => [example.index, example]));
  }

  /** Makes a rollout before training; undefined for kinds that do not learn from rewards. */
  static of({ reward, ...asking }: Pick<Asking, "base" | "task"> & { reward?: Reward | undefined }, trained: Trained) {
    return reward && new AnswerRollout({ ...asking, reward }, trained);
  }

  async examplesFor(step: number, prompts: readonly TrainingExample[], signal?: AbortSignal) {
    const { task } = this.#asking;
    const { seed } = this.#trained.settings;
    const { numGenerations, temperature } = this.#settings;
    const started = performance.now();
    // Answers depend only on seed, step, row and number: a resumed run writes the same ones.
    const random = (prompt: TrainingExample, answer: number) =>
      randomFor(seed, `answer ${answer} to ${prompt.index} at step ${step}`);
    const written = await this.#write(prompts, { copies: numGenerations, temperature, random }, signal);
    const writtenAt = performance.now();
    const before = this.#failures;
    const answered: AnsweredPrompt[] = [];
    for (const [i, prompt] of prompts.entries()) {
      answered.push({ prompt, answers: await this.#score(this.#asked.get(prompt.index)!, written[i]!, signal) });
    }
    const scoredAt = performance.now();
    const examples = findTaskKind(task.kind).writing!.rollout!.examplesOf(answered, task.options ?? {});
    const all = answered.flatMap(({ answers }) => answers);
    const rewards = all.map(({ reward }) => reward);
    for (const { answers } of answered) this.#remember(answers);
    const failed = this.#failures - before;
    const record = {
      answers: all.length,
      failed,
      reward: orNull(meanOf(rewards)),
      spread: orNull(deviationOf(rewards)),
      answerTokens: meanOf(all.map(({ ids }) => ids.length)),
      generating: (writtenAt - started) / 1000,
      scoring: (scoredAt - writtenAt) / 1000,
      ...(failed > 0 && { failure: this.#failure! }),
    };
    return { examples: await this.#withReference(examples, signal), record };
  }

  async evaluate(splits: readonly EncodedSplit[], signal?: AbortSignal, onDone?: TellDone): Promise<Evaluation> {
    const { task } = this.#asking;
    const metrics: Record<string, number> = {};
    let samples: SampleAnswer[] | undefined;
    let errors: Record<string, number> | undefined;
    for (const { name, examples, encoded } of splits) {
      const written = await this.#write(encoded, { copies: 1, temperature: 0, onDone }, signal);
      const answers: Scored[] = [];
      for (const [i, example] of examples.entries()) {
        answers.push(...(await this.#score(example, written[i]!, signal)));
      }
      const predictions = answers.map(({ ids, reward }) => ({ written: { tokens: ids.length, reward } }));
      const suffix = splits.length > 1 ? `_${name.replace("validation_", "")}` : "";
      for (const [metric, value] of Object.entries(computeMetrics(task, predictions, examples))) {
        metrics[metric + suffix] = value;
      }
      if (splits.length === 1) ({ errors } = await scoresOf(task, predictions, examples, signal));
      samples ??= answers.slice(0, SAMPLES).map(({ text, reward = null }, i) => ({
        prompt: examples[i]!.text,
        answer: text,
        reward,
      }));
    }
    const [reward = 0] = Object.values(metrics);
    return { metrics, ...(errors && { errors }), loss: -reward, alike: false, ...(samples && { samples }) };
  }

  #remember(answers: readonly { reward: number | undefined }[]): void {
    const rewards = new Set(answers.flatMap(({ reward }) => reward ?? []));
    for (const reward of rewards) this.#rewards.add(reward);
    this.#differed ||= rewards.size > 1;
  }

  get taughtNothing(): string | undefined {
    if (this.#differed || this.#rewards.size === 0) return undefined;
    const [only] = this.#rewards;
    const found =
      this.#rewards.size === 1 ? `all rewards were ${only}` : "the answers to one prompt always had the same reward";
    return `${found}, so no answer was better than another and nothing was learned: the report shows some answers; reward partly correct answers, or give prompts that the model sometimes answers well`;
  }

  get notes(): string[] {
    if (this.#failures === 0) return [];
    const count = this.#failures === 1 ? "1 reward" : `${this.#failures} rewards`;
    const last = this.#failure === undefined ? "" : `; the last one: ${this.#failure}`;
    return [`${count} failed, so training left those answers out${last}`];
  }

  async release(): Promise<void> {
    await (await this.#writer?.catch(() => undefined))?.decoder.release();
    await (await this.#predictor?.catch(() => undefined))?.release();
  }

  /** Writes answers to each prompt. @param random generator for an answer, by its prompt and its number */
  async #write(
    prompts: readonly TrainingExample[],
    {
      copies,
      temperature,
      random,
      onDone,
    }: {
      copies: number;
      temperature: number;
      random?: (prompt: TrainingExample, answer: number) => Random;
      onDone?: TellDone | undefined;
    },
    signal?: AbortSignal,
  ): Promise<Written[][]> {
    this.#writer ??= this.#compileWriter();
    const { decoder, eosTokenIds } = await this.#writer;
    const { tokenizer } = this.#asking.base;
    const size = Math.max(1, Math.floor(AT_ONCE / copies));
    const all: Written[][] = [];
    for (let start = 0; start < prompts.length; start += size) {
      const part = prompts.slice(start, start + size);
      const options: TokenOptions = {
        ...generationOptions.parse({ maxNewTokens: this.#settings.maxNewTokens, temperature }),
        eosTokenIds,
        copies,
        ...(random && {
          randomOf: (answer) => random(part[Math.floor(answer / copies)]!, answer % copies),
        }),
      };
      const ids = part.map(() => Array.from({ length: copies }, (): number[] => []));
      const reader = decoder.reader();
      try {
        const read = part.map(({ encoding }) => [...encoding.inputIds]);
        await generateTokens(reader, read, options, {
          take({ answer, token }) {
            signal?.throwIfAborted();
            ids[Math.floor(answer / copies)]![answer % copies]!.push(token);
          },
        });
      } finally {
        reader.release();
      }
      const textOf = (answer: readonly number[]): string =>
        tokenizer.decode(eosTokenIds.includes(answer.at(-1)!) ? answer.slice(0, -1) : answer, {
          skipSpecialTokens: true,
        });
      all.push(...ids.map((answers) => answers.map((answer) => ({ ids: answer, text: textOf(answer) }))));
      await onDone?.(all.length, prompts.length);
    }
    return all;
  }

  async #compileWriter(): Promise<Writer> {
    const { model, weights, runtime } = this.#trained;
    const { tokens } = await readGenerationSettings(this.#asking.base);
    return { decoder: await CachedDecoder.compile(model, weights, runtime), eosTokenIds: tokens.eosTokenIds };
  }

  /** Scores the answers to one prompt one by one: a failure costs only the reward of its answer. */
  async #score(example: Example, answers: readonly Written[], signal?: AbortSignal): Promise<Scored[]> {
    const { text, messages, row = {} } = example;
    const { base, reward } = this.#asking;
    const asked = messages ? promptOf(example, base.tokenizer) : text;
    const prompt = typeof asked === "object" && "messages" in asked ? asked.messages : text;
    const scored: Scored[] = [];
    for (const answer of answers) {
      signal?.throwIfAborted();
      scored.push({
        ...answer,
        reward: await this.#rewardOf(() => reward.score(prompt, answer.text, row)),
      });
    }
    return scored;
  }

  async #rewardOf(score: () => Promise<number>): Promise<number | undefined> {
    try {
      const reward = await score();
      if (Number.isFinite(reward)) return reward;
      this.#failure = `the reward returned ${reward}, not a finite number`;
    } catch (error) {
      this.#failure = `the reward ${(error as Error).message.slice(0, MOST_SAID)}`;
    }
    this.#failures++;
    return undefined;
  }

  async #withReference(examples: TrainingExample[], signal?: AbortSignal): Promise<TrainingExample[]> {
    const { model, weights, runtime, settings } = this.#trained;
    const { tokenBudget } = settings;
    const objective = objectiveOf(this.#asking.task);
    if (objective.reference === undefined) return examples;
    this.#predictor ??= Predictor.compile(model, weights, runtime, { tokenBudget, readBy: { objective } });
    const values = await (await this.#predictor).logits(examples, this.#untrained, signal);
    return examples.map((example, i) => ({
      ...example,
      targets: withReferenceValues(objective, example.targets, values[i]!),
    }));
  }
}

/** @param blocks number of blocks that may freeze @throws UserError if a kind that learns from rewards has no reward, or blocks may freeze */
export function checkRollout({ name, writing }: TaskKind, reward: Reward | undefined, blocks: number): void {
  if (!writing?.rollout) return;
  if (!reward) throw new UserError(`${name} is trained by the command line or a program, which can run its reward`);
  if (blocks === 0) return;
  throw new UserError(
    `${opt("freezeBlocks")} keeps hidden states of examples, and ${name} writes new ones at each step; leave it out`,
  );
}

/** Returns a step's longest prompts with the longest possible answers; undefined for kinds that write no answers in training. */
export function longestAnswers({
  task: { kind, options = {} },
  train: prompts,
  settings: { batchSize },
}: Pick<TrainOptions, "task" | "settings"> & { train: readonly TrainingExample[] }): TrainingExample[] | undefined {
  const rollout = findTaskKind(kind).writing?.rollout;
  if (!rollout) return undefined;
  const { numGenerations, maxNewTokens } = rollout.settings(options);
  const ids = Array<number>(maxNewTokens).fill(0);
  const answers = Array.from({ length: numGenerations }, (_, reward) => ({ ids, reward }));
  const longest = prompts.toSorted((a, b) => b.encoding.inputIds.length - a.encoding.inputIds.length);
  return rollout.examplesOf(
    longest.slice(0, batchSize).map((prompt) => ({ prompt, answers })),
    options,
  );
}

/** Maximum number of characters of a reward's error that are recorded. */
const MOST_SAID = 400;

type Random = ReturnType<typeof randomFor>;

const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);
