import { opt, UserError } from "../../errors.ts";
import type { Encoding } from "../../inputs/tokenizer.ts";
import type { EncodedExample, ReadText, TaskKind, TrainingExample } from "../../tasks/task-kind.ts";
import type { ReplicaSteps } from "../../training/local-steps/replica.ts";
import type { MicroBatch } from "../../training/model-run.ts";
import { messageBytes } from "./message.ts";
import type { ReplicaShard, Shard } from "./protocol.ts";

/** Encodes a micro-batch of texts as a message. */
export function shardBytes(facts: Omit<Shard, "examples">, { examples, inputs }: MicroBatch): Buffer {
  const plain: Shard["examples"] = examples.map(({ index, ...text }) => ({ index, ...plainText(text) }));
  return messageBytes({ ...facts, examples: plain }, new Map(Object.entries(inputs)));
}

/** Texts of a received shard. */
export const textsOf = ({ examples }: Shard): EncodedExample[] =>
  examples.map(({ index, ...text }) => ({ index, ...textOf(text) }));

/** Encodes a replica's steps as a message. */
export function replicaBytes(
  facts: Pick<ReplicaShard, "shard" | "state" | "part">,
  { batches, ...rest }: ReplicaSteps,
): Buffer {
  const plain = batches.map((batch) =>
    batch.map(({ index, texts, targets: { dtype, shape, data }, weights, ...text }) => ({
      index,
      ...plainText(text),
      ...(texts && { texts: texts.map(plainText) }),
      targets: { dtype, shape, data: [...data] },
      weights: [...weights],
    })),
  );
  return messageBytes({ ...facts, ...rest, batches: plain });
}

/** Steps of a received replica. */
export const replicaOf = ({ batches, ...rest }: ReplicaShard): ReplicaSteps => ({
  ...rest,
  batches: batches.map((batch) =>
    batch.map(
      ({ index, texts, targets: { dtype, shape, data }, weights, ...text }): TrainingExample => ({
        index,
        ...textOf(text),
        ...(texts && { texts: texts.map(textOf) }),
        targets:
          dtype === "int32"
            ? { dtype, shape, data: Int32Array.from(data) }
            : { dtype, shape, data: Float32Array.from(data) },
        weights: Float32Array.from(weights),
      }),
    ),
  ),
});

/** @throws UserError if a kind of task reads something other than texts, which messages cannot hold */
export function refuseUnlessTexts({ reads }: Pick<TaskKind, "reads">): void {
  if (reads)
    throw new UserError(`a run on many machines trains on texts; leave ${opt("queue")} out to train on ${reads}`);
}

type PlainText = Omit<Shard["examples"][number], "index">;

function plainText({ encoding, decoder, rows, inputs }: ReadText): PlainText {
  if (inputs) throw new Error("messages hold texts alone");
  return {
    encoding: plainEncoding(encoding),
    ...(decoder && { decoder: plainEncoding(decoder) }),
    ...(rows && { rows: [...rows] }),
  };
}

const textOf = ({ encoding, decoder, rows }: PlainText): ReadText => ({
  encoding: encodingOf(encoding),
  ...(decoder && { decoder: encodingOf(decoder) }),
  ...(rows && { rows: Int32Array.from(rows) }),
});

type PlainEncoding = PlainText["encoding"];

const plainEncoding = ({ inputIds, tokenTypeIds }: Encoding): PlainEncoding => ({
  inputIds: [...inputIds],
  tokenTypeIds: [...tokenTypeIds],
});

const encodingOf = ({ inputIds, tokenTypeIds }: PlainEncoding): Encoding => ({
  inputIds: Int32Array.from(inputIds),
  tokenTypeIds: Int32Array.from(tokenTypeIds),
});
