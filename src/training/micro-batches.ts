/**
 * Cuts a batch into micro-batches: rows are sorted by length, longest first, and taken while rows × longest row stay
 * within `tokenBudget`; a single longer row stands alone. Padded each to its own longest row, the micro-batches'
 * summed gradients equal those of one padded batch. Rows of equal length keep their order, so the cut is always the same.
 * @param lengths tokens of each row, `[rows]`
 * @returns indices into `lengths`, a list for each micro-batch, its longest row first
 */
export function cutMicroBatches(lengths: readonly number[], tokenBudget: number): number[][] {
  const order = lengths.map((_, row) => row).sort((a, b) => lengths[b]! - lengths[a]!);
  const batches: number[][] = [];
  for (let start = 0; start < order.length; ) {
    const rows = Math.max(1, Math.floor(tokenBudget / lengths[order[start]!]!));
    batches.push(order.slice(start, start + rows));
    start += rows;
  }
  return batches;
}
