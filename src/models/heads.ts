import type { Value } from "../graph/graph.ts";
import { sliceSize } from "../graph/ops.ts";
import { ACTIVATIONS, type Activation } from "./activation.ts";
import type { ForwardContext } from "./forward-context.ts";

/** Hidden states of each example's first token, `[batch, hidden]`. */
export function firstTokens(hidden: Value): Value {
  return sliceSize(hidden, 0, 0, "batch");
}

/** A dense layer and a projection on the first token: RoBERTa's, MPNet's and ELECTRA's, `[batch, labels]`. */
export function firstTokenHead(
  context: ForwardContext,
  hidden: Value,
  labelCount: number,
  { activation, dropout }: { activation: Activation; dropout: number },
): Value {
  const width = hidden.shape[1] as number;
  const first = context.dropout(firstTokens(hidden), dropout);
  const inner = ACTIVATIONS[activation](context.dense(first, "classifier.dense", width, width));
  return context.dense(context.dropout(inner, dropout), "classifier.out_proj", width, labelCount);
}

/** Dropout and one layer on every token, as most families have it, `[batch*sequence, labels]`. */
export function plainTokenHead(context: ForwardContext, hidden: Value, labelCount: number, dropout: number): Value {
  return context.dense(context.dropout(hidden, dropout), "classifier", hidden.shape[1] as number, labelCount);
}
