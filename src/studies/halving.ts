/** A rung of successive halving: how far its configurations train, and how many of them there are. */
export interface Rung {
  /** Epochs of the run after which it ends. */
  epochs: number;
  configurations: number;
}

/**
 * The rungs of successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943) over epochs: at each, one of `reduction`
 * configurations goes on, to `reduction` times as many epochs, the last to all of them.
 */
export function rungsOf(configurations: number, epochs: number, reduction: number): Rung[] {
  // As many rungs as there are configurations to drop, but none below one epoch.
  let below = 0;
  while (configurations / reduction ** (below + 1) >= 1 && Math.round(epochs / reduction ** (below + 1)) >= 1) below++;
  return Array.from({ length: below + 1 }, (_, i) => ({
    epochs: Math.round(epochs / reduction ** (below - i)),
    configurations: Math.max(1, Math.ceil(configurations / reduction ** i)),
  }));
}

/** Epochs that all rungs take, each going on from the one before. */
export function epochsOf(rungs: readonly Rung[]): number {
  return rungs.reduce((sum, rung, i) => sum + rung.configurations * (rung.epochs - (rungs[i - 1]?.epochs ?? 0)), 0);
}
