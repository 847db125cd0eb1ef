/** Numbers from mulberry32. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  between(least: number, most: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return least + (most - least) * (((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32);
  }
  list(length: number, least: number, most: number): number[] {
    return Array.from({ length }, () => this.between(least, most));
  }
}
