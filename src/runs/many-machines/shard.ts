import { UserError } from "../../errors.ts";
import type { EncodedExample } from "../../tasks/task-kind.ts";
import type { Encoding } from "../../tokenization/tokenizer.ts";
import type { MicroBatch } from "../../training/model-run.ts";
import { messageBytes } from "./message.ts";
import type { Shard } from "./protocol.ts";

/** A micro-batch as a message. @throws UserError where something else than texts is read: messages hold texts alone. */
export function shardBytes(facts: Omit<Shard, "examples">, { examples, inputs }: MicroBatch): Buffer {
  if (examples.some((example) => example.inputs)) {
    throw new UserError("a run on many machines trains on texts; leave --queue out to train on pictures");
  }
  const plain: Shard["examples"] = examples.map(({ index, encoding, decoder, rows }) => ({
    index,
    encoding: plainEncoding(encoding),
    ...(decoder && { decoder: plainEncoding(decoder) }),
    ...(rows && { rows: [...rows] }),
  }));
  return messageBytes({ ...facts, examples: plain }, new Map(Object.entries(inputs)));
}

/** The texts of a shard that came as a message. */
export const textsOf = ({ examples }: Shard): EncodedExample[] =>
  examples.map(({ index, encoding, decoder, rows }) => ({
    index,
    encoding: encodingOf(encoding),
    ...(decoder && { decoder: encodingOf(decoder) }),
    ...(rows && { rows: Int32Array.from(rows) }),
  }));

type PlainEncoding = Shard["examples"][number]["encoding"];

const plainEncoding = ({ inputIds, tokenTypeIds }: Encoding): PlainEncoding => ({
  inputIds: [...inputIds],
  tokenTypeIds: [...tokenTypeIds],
});

const encodingOf = ({ inputIds, tokenTypeIds }: PlainEncoding): Encoding => ({
  inputIds: Int32Array.from(inputIds),
  tokenTypeIds: Int32Array.from(tokenTypeIds),
});
