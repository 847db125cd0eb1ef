import { float32, type Tensor } from "../../graph/tensor.ts";

export interface SlotTensor {
  input: string;
  heads: number;
  size: number;
}

/** Positions by which slots grow: attention computes over whole slots for each token, so larger ones cost more than growing. */
const STEP = 32;

/** Positions by which the memory of slots grows; slots grow within it while they fit. */
const SPARE = 128;

/** Memory for keys and values, one slot per text, `[slots, heads, positions, size]`: new ones are written in place; only growing copies. */
export class CacheSlots {
  #tables: Record<string, Tensor> = {};
  #data: Float32Array<ArrayBuffer>[] = [];
  #slots = 0;
  #positions = 0;
  #space = 0;
  /** Tensors by first slot and number of slots, so that unchanged ones are made once. */
  readonly #views = new Map<string, Record<string, Tensor>>();

  constructor(
    private readonly layout: readonly SlotTensor[],
    private readonly tablesOf: (positions: number) => Record<string, Tensor> = () => ({}),
  ) {}

  get count(): number {
    return this.#slots;
  }

  reserve(slots: number, positions: number, used: readonly number[]): void {
    if (slots <= this.#slots && positions <= this.#positions) return;
    const before = this.#positions;
    this.#slots = Math.max(slots, this.#slots);
    if (positions > before) {
      this.#positions = Math.ceil(positions / STEP) * STEP;
      this.#tables = this.tablesOf(this.#positions);
    }
    const fits = this.#slots * this.#positions <= this.#space;
    if (!fits) this.#space = this.#slots * Math.ceil(this.#positions / SPARE) * SPARE;
    this.#data = this.layout.map(({ heads, size }, i) => {
      const from = this.#data[i];
      const to = fits ? from! : new Float32Array(this.#space * heads * size);
      if (fits && this.#positions === before) return to;
      // From the last on, because data moves further back within the same memory.
      for (let head = used.length * heads - 1; head >= 0; head--) {
        const start = head * before * size;
        const length = used[Math.floor(head / heads)]! * size;
        to.set(from!.subarray(start, start + length), head * this.#positions * size);
      }
      return to;
    });
    this.#views.clear();
  }

  copy(from: number, to: number, length: number): void {
    this.layout.forEach(({ heads, size }, i) => {
      const slot = this.#positions * size;
      for (let head = 0; head < heads; head++) {
        const start = (from * heads + head) * slot;
        this.#data[i]!.copyWithin((to * heads + head) * slot, start, start + length * size);
      }
    });
  }

  /**
   * Appends keys and values.
   * @param written `[slots, heads, positions, size]` of each layout's tensor, one after the other
   */
  write(first: number, starts: readonly number[], positions: number, written: Float32Array): void {
    let from = 0;
    this.layout.forEach(({ heads, size }, i) => {
      const data = this.#data[i]!;
      starts.forEach((start, slot) => {
        for (let head = 0; head < heads; head++) {
          const to = (((first + slot) * heads + head) * this.#positions + start) * size;
          // For the few numbers of a token, this is faster than copying a part.
          for (let at = 0; at < positions * size; at++) data[to + at] = written[from++]!;
        }
      });
    });
  }

  tensors(first: number, count: number): Record<string, Tensor> {
    const key = `${first} ${count}`;
    const known = this.#views.get(key);
    if (known) return known;
    const views = this.layout.map(({ input, heads, size }, i) => {
      const slot = heads * this.#positions * size;
      const data = this.#data[i]!.subarray(first * slot, (first + count) * slot);
      return [input, float32([count, heads, this.#positions, size], data)] as const;
    });
    const slots = { ...this.#tables, ...Object.fromEntries(views) };
    this.#views.set(key, slots);
    return slots;
  }
}
