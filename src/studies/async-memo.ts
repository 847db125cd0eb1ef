/** A promise for each key, made by the first call; a failure is kept, too. */
export class AsyncMemo<T> {
  readonly #known = new Map<string, Promise<T>>();

  get(key: string, make: () => Promise<T>): Promise<T> {
    const found = this.#known.get(key) ?? make();
    this.#known.set(key, found);
    return found;
  }
}
