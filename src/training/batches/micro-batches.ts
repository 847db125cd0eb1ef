import type { EncodedExample } from "../../tasks/task-kind.ts";
import type { AdaptedModel } from "../step-graph.ts";

/** What running the graph once costs beside its tokens, in tokens: measured at about 32 for MiniLM's and BERT-base's sizes. */
const RUN_COST = 32;

/** What a padded pair of query and key costs, in tokens. */
const PAIR_COST = 1 / 1024;

/** Most numbers that a run's outputs may be, 128 MiB of float32: a language model's are as wide as its vocabulary. */
const OUTPUT_BUDGET = 2 ** 25;

/** What an example adds to a run. */
export interface ExampleSize {
  /** Of all its texts. */
  tokens: number;
  /** Rows that get outputs. */
  rows: number;
}

export const sizeOf = ({ texts = [], ...own }: Omit<EncodedExample, "index">): ExampleSize =>
  [own, ...texts].reduce(
    (size, { encoding, decoder, rows }) => ({
      tokens: size.tokens + encoding.inputIds.length + (decoder?.inputIds.length ?? 0),
      rows: size.rows + (rows?.length ?? 1),
    }),
    { tokens: 0, rows: 0 },
  );

/** What a run may hold. */
export interface RunBudget {
  tokens: number;
  /** Outputs that a row gets. */
  outputs: number;
  /** Whether padding counts as tokens. */
  padsRows: boolean;
}

/** What a run of a model may hold. @param tokens at most */
export const runBudget = (
  { architecture, labelCount }: Pick<AdaptedModel, "architecture" | "labelCount">,
  tokens: number,
): RunBudget => ({
  tokens,
  outputs: labelCount,
  padsRows: architecture.kind === "encoder" && architecture.padsRows === true,
});

/** Whether texts of so many tokens in all, as many pairs of padded positions and so many outputs are too many for one run. */
const exceeds = (budget: RunBudget, tokens: number, pairs: number, outputs: number): boolean =>
  tokens > budget.tokens || pairs > budget.tokens ** 2 || outputs > OUTPUT_BUDGET;

/** So many budgets go into one run where a batch that is cut would go through the model twice: in about the memory of both. */
const WHOLE = 3;

/** Whether a batch whose rows are coupled goes through the model in one run. @param sizes of its texts @param budget of a micro-batch */
export function fitsOneRun(sizes: readonly ExampleSize[], budget: RunBudget): boolean {
  const longest = sizes.reduce((most, { tokens }) => Math.max(most, tokens), 0);
  const tokens = budget.padsRows ? sizes.length * longest : sizes.reduce((sum, size) => sum + size.tokens, 0);
  const rows = sizes.reduce((sum, size) => sum + size.rows, 0);
  const whole = { ...budget, tokens: WHOLE * budget.tokens };
  return sizes.length === 1 || !exceeds(whole, tokens, sizes.length * longest ** 2, rows * budget.outputs);
}

/**
 * Cuts a batch into micro-batches: examples are sorted by length, longest first, and cut where runs and padding
 * together cost least, with at most so many tokens, as many pairs of padded positions as one text of that length has,
 * and outputs that fit into memory; a single longer example stands alone. The micro-batches' summed gradients equal those
 * of the whole batch. Examples of equal length keep their order, so the cut is always the same.
 * @returns indices into `sizes`, a list for each micro-batch, its longest example first
 */
export function cutMicroBatches(sizes: readonly ExampleSize[], budget: RunBudget): number[][] {
  const lengths = sizes.map(({ tokens }) => tokens);
  const order = lengths.map((_, row) => row).sort((a, b) => lengths[b]! - lengths[a]!);
  // The least cost of the first `end` examples, and where their last micro-batch starts.
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
      const total = cost[start]! + RUN_COST + tokens + pairs * PAIR_COST;
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
