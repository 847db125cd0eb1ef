/** What is made once for each key, by whoever asks first; a failure is remembered too. */
export class AsyncMemo<T> {
  readonly #known = new Map<string, Promise<T>>();

  get(key: string, make: () => Promise<T>): Promise<T> {
    const found = this.#known.get(key) ?? make();
    this.#known.set(key, found);
    return found;
  }
}
