/**
 * What running the graph once costs beside its tokens, in tokens: measured at about 32 for all-MiniLM-L6-v2 and for
 * BERT-base sizes alike. More, shorter micro-batches pad less but run more often.
 */
const RUN_COST = 32;

/**
 * Cuts a batch into micro-batches: rows are sorted by length, longest first, and cut where padding and the number of runs
 * together cost least, with rows × longest row within `tokenBudget`; a single longer row stands alone. Padded each to its
 * own longest row, the micro-batches' summed gradients equal those of one padded batch. Rows of equal length keep their
 * order, so the cut is always the same.
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
    const most = Math.max(1, Math.floor(tokenBudget / longest));
    for (let rows = 1; rows <= most && start + rows <= order.length; rows++) {
      const total = cost[start]! + rows * longest + RUN_COST;
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
