import { float32, type Tensor } from "../../graph/tensor.ts";

/** Keys or values of an attention, which a run reads. */
export interface RoomTensor {
  input: string;
  heads: number;
  size: number;
}

/** Positions by which rooms grow: attention passes over whole rooms at each token, so that larger ones cost more than growing does. */
const STEP = 32;

/** Positions by which memory for rooms grows: they grow within it, where it is enough. */
const SPARE = 128;

/** Memory for keys and values, a room for each text, `[rooms, heads, positions, size]`: new ones are written in place, and none is copied but to grow. */
export class CacheRooms {
  readonly #layout: readonly RoomTensor[];
  readonly #tablesOf: (positions: number) => Record<string, Tensor>;
  #tables: Record<string, Tensor> = {};
  #data: Float32Array<ArrayBuffer>[] = [];
  #rooms = 0;
  #positions = 0;
  /** Positions of all rooms that the memory has space for. */
  #space = 0;
  /** By the first room and their number: tensors that stay the same are made once. */
  readonly #views = new Map<string, Record<string, Tensor>>();

  /** @param tablesOf inputs that depend on how many tokens a room can have */
  constructor(layout: readonly RoomTensor[], tablesOf: (positions: number) => Record<string, Tensor> = () => ({})) {
    this.#layout = layout;
    this.#tablesOf = tablesOf;
  }

  get rooms(): number {
    return this.#rooms;
  }

  /** Makes room for so many texts of so many tokens. @param used tokens of each text that is there, which stay */
  reserve(rooms: number, positions: number, used: readonly number[]): void {
    if (rooms <= this.#rooms && positions <= this.#positions) return;
    const before = this.#positions;
    this.#rooms = Math.max(rooms, this.#rooms);
    if (positions > before) {
      this.#positions = Math.ceil(positions / STEP) * STEP;
      this.#tables = this.#tablesOf(this.#positions);
    }
    const fits = this.#rooms * this.#positions <= this.#space;
    if (!fits) this.#space = this.#rooms * Math.ceil(this.#positions / SPARE) * SPARE;
    this.#data = this.#layout.map(({ heads, size }, i) => {
      const from = this.#data[i];
      const to = fits ? from! : new Float32Array(this.#space * heads * size);
      if (fits && this.#positions === before) return to;
      // From the last on: in the same memory, what is moved comes to lie further back.
      for (let head = used.length * heads - 1; head >= 0; head--) {
        const start = head * before * size;
        const length = used[Math.floor(head / heads)]! * size;
        to.set(from!.subarray(start, start + length), head * this.#positions * size);
      }
      return to;
    });
    this.#views.clear();
  }

  /** Copies the first `length` positions of a room into another. */
  copy(from: number, to: number, length: number): void {
    this.#layout.forEach(({ heads, size }, i) => {
      const room = this.#positions * size;
      for (let head = 0; head < heads; head++) {
        const start = (from * heads + head) * room;
        this.#data[i]!.copyWithin((to * heads + head) * room, start, start + length * size);
      }
    });
  }

  /**
   * Writes keys and values behind those that are there.
   * @param first the first room; others follow it
   * @param starts of each room, which position is the first that is written
   * @param written `[rooms, heads, positions, size]` of each layout's tensor, one behind the other
   */
  write(first: number, starts: readonly number[], positions: number, written: Float32Array): void {
    let from = 0;
    this.#layout.forEach(({ heads, size }, i) => {
      const data = this.#data[i]!;
      starts.forEach((start, room) => {
        for (let head = 0; head < heads; head++) {
          const to = (((first + room) * heads + head) * this.#positions + start) * size;
          // For a token's few numbers, quicker than a copy of a part.
          for (let at = 0; at < positions * size; at++) data[to + at] = written[from++]!;
        }
      });
    });
  }

  /** Some of the rooms, side by side, by the inputs' names, with what depends on their size. */
  tensors(first: number, count: number): Record<string, Tensor> {
    const key = `${first} ${count}`;
    const known = this.#views.get(key);
    if (known) return known;
    const views = this.#layout.map(({ input, heads, size }, i) => {
      const room = heads * this.#positions * size;
      const data = this.#data[i]!.subarray(first * room, (first + count) * room);
      return [input, float32([count, heads, this.#positions, size], data)] as const;
    });
    const rooms = { ...this.#tables, ...Object.fromEntries(views) };
    this.#views.set(key, rooms);
    return rooms;
  }
}
