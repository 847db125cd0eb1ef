/** Something that keeps what it computed, and can do without. */
export interface Keeper {
  /** Memory that it keeps, in bytes, roughly. */
  readonly bytes: number;
  /** Gives this memory up. What was computed is computed again when it is needed. */
  forget(): void;
}

/** Holds what several keepers keep under one bound. */
export class KeptMemory {
  readonly #mostBytes: number;
  readonly #mostKeepers: number;
  /** Those that computed last are last. */
  readonly #keepers = new Set<Keeper>();

  constructor(mostBytes: number, mostKeepers: number) {
    this.#mostBytes = mostBytes;
    this.#mostKeepers = mostKeepers;
  }

  /**
   * Notes that a keeper computes. It may keep half of all; if all together keep too much, those forget that have not computed for
   * the longest time.
   */
  noteUse(keeper: Keeper): void {
    this.#keepers.delete(keeper);
    this.#keepers.add(keeper);
    if (keeper.bytes > this.#mostBytes / 2) keeper.forget();
    let bytes = 0;
    for (const each of this.#keepers) bytes += each.bytes;
    for (const oldest of this.#keepers) {
      if (bytes <= this.#mostBytes && this.#keepers.size <= this.#mostKeepers) return;
      bytes -= oldest.bytes;
      oldest.forget();
      if (oldest !== keeper) this.#keepers.delete(oldest);
    }
  }
}
