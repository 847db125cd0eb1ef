export class CheckpointClock {
  readonly #steps: number;
  readonly #seconds: number;
  #savedStep: number;
  #savedAt = performance.now();

  /** @param every steps (`200`) or seconds (`60s`) @param step number of steps done when the clock starts */
  constructor(every: string, step: number) {
    const length = Number.parseFloat(every);
    [this.#steps, this.#seconds] = every.endsWith("s")
      ? [Number.POSITIVE_INFINITY, length]
      : [length, Number.POSITIVE_INFINITY];
    this.#savedStep = step;
  }

  isDue(step: number): boolean {
    return step - this.#savedStep >= this.#steps || performance.now() - this.#savedAt >= this.#seconds * 1000;
  }

  saved(step: number): void {
    this.#savedStep = step;
    this.#savedAt = performance.now();
  }
}
