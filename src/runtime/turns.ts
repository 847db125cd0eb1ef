const LONGEST = 50;
const RUN = 2 ** 13;
const NUMBERS = 2 ** 17;

/** Makes a long computation give way to the event loop, and ends it when a signal aborts. */
export class Turns {
  #since = performance.now();

  constructor(private readonly signal?: AbortSignal) {}

  /** Lets other events run if none could for 50 ms. */
  async give(): Promise<void> {
    if (performance.now() - this.#since >= LONGEST) {
      await new Promise((resolve) => setTimeout(resolve));
      this.#since = performance.now();
    }
    this.signal?.throwIfAborted();
  }

  async each(count: number, numbers: number, use: (index: number) => void): Promise<void> {
    const size = Math.ceil(NUMBERS / numbers);
    for (let start = 0; start < count; start += size) {
      const end = Math.min(count, start + size);
      for (let index = start; index < end; index++) use(index);
      await this.give();
    }
  }

  async map<Item, Result>(items: Iterable<Item>, use: (item: Item) => Result): Promise<Result[]> {
    const results: Result[] = [];
    for (const item of items) {
      results.push(use(item));
      await this.give();
    }
    return results;
  }

  /** Returns the items in ascending order: sorted runs, merged in pairs. */
  async sort(items: Int32Array, compare: (a: number, b: number) => number): Promise<Int32Array> {
    let [from, to] = [items.slice(), new Int32Array(items.length)];
    for (let start = 0; start < from.length; start += RUN) {
      from.subarray(start, start + RUN).sort(compare);
      await this.give();
    }
    for (let size = RUN; size < from.length; size *= 2) {
      for (let start = 0; start < from.length; start += 2 * size) {
        merge(from.subarray(start, start + size), from.subarray(start + size, start + 2 * size), {
          into: to.subarray(start),
          compare,
        });
        await this.give();
      }
      [from, to] = [to, from];
    }
    return from;
  }
}

function merge(
  left: Int32Array,
  right: Int32Array,
  { into, compare }: { into: Int32Array; compare: (a: number, b: number) => number },
): void {
  let [i, j] = [0, 0];
  while (i < left.length && j < right.length) {
    into[i + j] = compare(left[i]!, right[j]!) <= 0 ? left[i++]! : right[j++]!;
  }
  into.set(left.subarray(i), i + j);
  into.set(right.subarray(j), left.length + j);
}
