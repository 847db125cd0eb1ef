import { fillRowModule } from "./fill-row-module.ts";

export interface Draws {
  /** A 16-bit draw below it gives 0. */
  threshold: number;
  /** Bits of the float32 that every other draw gives. */
  kept: number;
}

type FillRow = (from: number, to: number, key: number, key2: number, threshold: number, kept: number) => void;

const [BYTES, VECTORS, PAGE] = [4, 32, 2 ** 16];

export class MaskMemory {
  readonly #memory = new WebAssembly.Memory({ initial: 0 });
  readonly #fillRow: FillRow;

  constructor() {
    const { exports } = new WebAssembly.Instance(fillRowModule(), { mask: { memory: this.#memory } });
    this.#fillRow = exports.fillRow as FillRow;
  }

  /** Returns arrays of these sizes. Those of earlier calls are no longer valid. */
  arrays(sizes: readonly number[]): Float32Array<ArrayBuffer>[] {
    let end = 0;
    const starts = sizes.map((size) => {
      const start = end;
      end += Math.ceil((size * BYTES) / VECTORS + 1) * VECTORS;
      return start;
    });
    const missing = end - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE));
    return sizes.map((size, i) => new Float32Array(this.#memory.buffer, starts[i], size));
  }

  /**
   * Fills `width` numbers of one of {@link arrays} from its number `start` on. Up to seven numbers after them may change, so rows are
   * filled in ascending order.
   */
  fillRow(array: Float32Array, start: number, width: number, key: number, key2: number, draws: Draws): void {
    const from = array.byteOffset + start * BYTES;
    this.#fillRow(from, from + width * BYTES, key, key2, draws.threshold, draws.kept);
  }
}
