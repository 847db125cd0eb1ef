import type { EncodedExample } from "../../tasks/task-kind.ts";
import type { AdaptedModel } from "../step-graph.ts";

/** Fixed cost of one run of the graph, in tokens: measured at about 32 for the sizes of MiniLM and BERT-base. */
const RUN_COST = 32;

const PAIR_COST = 1 / 1024;

/** Upper limit on the outputs of a run, 128 MiB of float32: those of a language model are as wide as its vocabulary. */
const OUTPUT_BUDGET = 2 ** 25;

export interface ExampleSize {
  tokens: number;
  rows: number;
}

export const exampleSize = ({ texts = [], ...own }: Omit<EncodedExample, "index">): ExampleSize =>
  [own, ...texts].reduce(
    (size, { encoding, decoder, rows }) => ({
      tokens: size.tokens + encoding.inputIds.length + (decoder?.inputIds.length ?? 0),
      rows: size.rows + (rows?.length ?? 1),
    }),
    { tokens: 0, rows: 0 },
  );

export interface RunBudget {
  tokens: number;
  outputs: number;
  padsRows: boolean;
}

export const runBudget = (
  { architecture, labelCount }: Pick<AdaptedModel, "architecture" | "labelCount">,
  tokens: number,
): RunBudget => ({
  tokens,
  outputs: labelCount,
  padsRows: architecture.kind === "encoder" && architecture.padsRows === true,
});

const runCost = (tokens: number, pairs: number): number => RUN_COST + tokens + pairs * PAIR_COST;

/** Expected cost of a micro-batch, in tokens: shares of the costs are shares of the time. */
export const costOf = (lengths: readonly number[]): number =>
  runCost(
    lengths.reduce((sum, length) => sum + length, 0),
    lengths.length * lengths[0]! ** 2,
  );

const exceeds = (budget: RunBudget, tokens: number, pairs: number, outputs: number): boolean =>
  tokens > budget.tokens || pairs > budget.tokens ** 2 || outputs > OUTPUT_BUDGET;

/** Budgets that fit in one run if a cut batch would go through the model twice: one run then takes about the memory of both. */
const WHOLE_BATCH_BUDGETS = 3;

export function fitsOneRun(sizes: readonly ExampleSize[], budget: RunBudget): boolean {
  const longest = sizes.reduce((most, { tokens }) => Math.max(most, tokens), 0);
  const tokens = budget.padsRows ? sizes.length * longest : sizes.reduce((sum, size) => sum + size.tokens, 0);
  const rows = sizes.reduce((sum, size) => sum + size.rows, 0);
  const whole = { ...budget, tokens: WHOLE_BATCH_BUDGETS * budget.tokens };
  return sizes.length === 1 || !exceeds(whole, tokens, sizes.length * longest ** 2, rows * budget.outputs);
}

/**
 * Cuts a batch into micro-batches. Examples are sorted by length, longest first, and cut where the total cost of runs and padding
 * is lowest. A micro-batch stays within the token budget, has at most as many pairs of padded positions as one text of that
 * length, and its outputs fit in memory; a longer example is alone in its micro-batch. The summed gradients of the micro-batches
 * equal those of the whole batch. Examples of equal length keep their order, so the cut is deterministic.
 */
export function cutMicroBatches(sizes: readonly ExampleSize[], budget: RunBudget): number[][] {
  const lengths = sizes.map(({ tokens }) => tokens);
  const order = lengths.map((_, row) => row).sort((a, b) => lengths[b]! - lengths[a]!);
  // Lowest cost of the first `end` examples, and the start of their last micro-batch.
  const cost = new Float64Array(order.length + 1).fill(Number.POSITIVE_INFINITY);
  const startOf = new Uint32Array(order.length + 1);
  cost[0] = 0;
  for (let start = 0; start < order.length; start++) {
    const longest = lengths[order[start]!]!;
    let tokens = 0;
    let outputs = 0;
    for (let count = 1; start + count <= order.length; count++) {
      const added = sizes[order[start + count - 1]!]!;
      tokens = budget.padsRows ? count * longest : tokens + added.tokens;
      outputs += added.rows * budget.outputs;
      const pairs = count * longest * longest;
      if (count > 1 && exceeds(budget, tokens, pairs, outputs)) break;
      const total = cost[start]! + runCost(tokens, pairs);
      if (total < cost[start + count]!) {
        cost[start + count] = total;
        startOf[start + count] = start;
      }
    }
  }
  const batches: number[][] = [];
  for (let end = order.length; end > 0; end = startOf[end]!) batches.push(order.slice(startOf[end]!, end));
  return batches.reverse();
}
