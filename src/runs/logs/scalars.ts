import type { MetricsRecord } from "../../training/training-records.ts";

export interface Scalars {
  step: number;
  values: Record<string, number>;
}

/** The numbers of a record, under the names that Hugging Face's Trainer logs: `train/loss`, `eval/accuracy`. */
export function scalarsOf(record: MetricsRecord): Scalars {
  if (record.kind === "evaluation") {
    const { step, epoch, loss, metrics } = record;
    return { step, values: { "train/epoch": epoch, ...under("eval", { loss, ...metrics }) } };
  }
  const { step, epoch, loss, learningRate, gradientNorm, seconds, tokens } = record;
  const values = {
    ...{ epoch, loss, learning_rate: learningRate, grad_norm: gradientNorm },
    ...{ tokens_per_second: tokens / seconds, memory_bytes: record.memory },
    ...{ trainable_parameters: record.trainable, frozen_matrices: record.frozen, frozen_blocks: record.frozenBlocks },
    ...{ reward: record.rollout?.reward, answer_tokens: record.rollout?.answerTokens },
  };
  return { step: step + 1, values: under("train", values) };
}

function under(prefix: string, values: Readonly<Record<string, number | null | undefined>>): Record<string, number> {
  const known = Object.entries(values).filter((entry): entry is [string, number] => typeof entry[1] === "number");
  return Object.fromEntries(known.map(([name, value]) => [`${prefix}/${name}`, value]));
}
