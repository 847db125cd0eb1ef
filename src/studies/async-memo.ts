/** Keeps one promise per key, made by the first call. Keeps failures, too. */
export class AsyncMemo<T> {
  readonly #known = new Map<string, Promise<T>>();

  get(key: string, make: () => Promise<T>): Promise<T> {
    const found = this.#known.get(key) ?? make();
    this.#known.set(key, found);
    return found;
  }
}
