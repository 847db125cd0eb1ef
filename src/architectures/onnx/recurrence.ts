import { type Direction, expand, lstm } from "../../graph/ops.ts";
import type { Importer } from "./imported-node.ts";

const DIRECTIONS: Readonly<Record<string, Direction>> = {
  forward: "forward",
  reverse: "reverse",
  bidirectional: "bidirectional",
};
const ACTIVATIONS = "Sigmoid,Tanh,Tanh";
const UNSUPPORTED = ["activation_alpha", "activation_beta", "clip", "input_forget", "layout"];

const longShortTermMemory: Importer = (node) => {
  const { direction: way = "forward", activations, ...options } = node.attributes;
  const direction = Object.hasOwn(DIRECTIONS, String(way)) ? DIRECTIONS[String(way)] : undefined;
  const [x, weight, recurrent] = [node.value(0), node.value(1), node.value(2)];
  const [directions = 1, , size = 1] = recurrent.shape;
  const usual = direction === "bidirectional" ? `${ACTIVATIONS},${ACTIVATIONS}` : ACTIVATIONS;
  const other = UNSUPPORTED.find((name) => (options[name] ?? 0) !== 0);
  if (!direction || other !== undefined || (activations ?? usual) !== usual)
    return node.refuse(`its option ${other ?? (direction ? "activations" : "direction")} is not supported`);
  if (node.operands[4] || node.operands[7]) return node.refuse("it has lengths of sequences, or peepholes");
  const zeros = (...shape: readonly (typeof size)[]) => expand(node.graph.constant([0], "float32"), shape);
  const state = (index: number) => node.optional(index) ?? zeros(directions, x.shape[1]!, size);
  const bias = node.optional(3) ?? zeros(directions, 8 * Number(size));
  return lstm([x, weight, recurrent, bias, state(5), state(6)], direction);
};

export const RECURRENCE: Readonly<Record<string, Importer>> = { LSTM: longShortTermMemory };
