export interface Keeper {
  readonly bytes: number;
  forget(): void;
}

export class KeptMemory {
  readonly #keepers = new Set<Keeper>();

  constructor(
    private readonly mostBytes: number,
    private readonly mostKeepers: number,
  ) {}

  /**
   * Notes that a keeper computes. It may keep half of the limit. If all keepers together exceed the limit, the least recently used ones
   * clear their caches.
   */
  noteUse(keeper: Keeper): void {
    this.#keepers.delete(keeper);
    this.#keepers.add(keeper);
    if (keeper.bytes > this.mostBytes / 2) keeper.forget();
    let bytes = 0;
    for (const each of this.#keepers) bytes += each.bytes;
    for (const oldest of this.#keepers) {
      if (bytes <= this.mostBytes && this.#keepers.size <= this.mostKeepers) return;
      bytes -= oldest.bytes;
      oldest.forget();
      if (oldest !== keeper) this.#keepers.delete(oldest);
    }
  }
}
