/** What running the graph once costs beside its tokens, in tokens: measured at about 32 for MiniLM's and BERT-base's sizes. */
const RUN_COST = 32;

/** What a padded pair of query and key costs, in tokens: attention alone is padded. */
const PAIR_COST = 1 / 1024;

/**
 * Cuts a batch into micro-batches: rows are sorted by length, longest first, and cut where runs and attention's padding
 * together cost least, with at most `tokenBudget` real tokens and as many pairs of padded places as one text of that
 * length has; a single longer row stands alone. The micro-batches' summed gradients equal those of the whole batch.
 * Rows of equal length keep their order, so the cut is always the same.
 * @param lengths tokens of each row, `[rows]`
 * @returns indices into `lengths`, a list for each micro-batch, its longest row first
 */
export function cutMicroBatches(lengths: readonly number[], tokenBudget: number): number[][] {
  const order = lengths.map((_, row) => row).sort((a, b) => lengths[b]! - lengths[a]!);
  // The least cost of the first `end` rows, and where their last micro-batch starts.
  const cost = new Float64Array(order.length + 1).fill(Number.POSITIVE_INFINITY);
  const startOf = new Uint32Array(order.length + 1);
  cost[0] = 0;
  for (let start = 0; start < order.length; start++) {
    const longest = lengths[order[start]!]!;
    let tokens = 0;
    for (let rows = 1; start + rows <= order.length; rows++) {
      tokens += lengths[order[start + rows - 1]!]!;
      const pairs = rows * longest * longest;
      if (rows > 1 && (tokens > tokenBudget || pairs > tokenBudget * tokenBudget)) break;
      const total = cost[start]! + RUN_COST + pairs * PAIR_COST;
      if (total < cost[start + rows]!) {
        cost[start + rows] = total;
        startOf[start + rows] = start;
      }
    }
  }
  const batches: number[][] = [];
  for (let end = order.length; end > 0; end = startOf[end]!) batches.push(order.slice(startOf[end]!, end));
  return batches.reverse();
}
