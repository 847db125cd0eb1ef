import { type RotaryPositions, rotaryTables } from "../../architectures/rotary.ts";
import { UserError } from "../../errors.ts";
import { asFloat32, int32, int64, type Tensor, type Tensors } from "../../graph/tensor.ts";
import type { CompiledGraph } from "../../runtime/compiled-graph.ts";
import { CacheSlots, type SlotTensor } from "./cache-slots.ts";
import type { TextReader } from "./text-reader.ts";

interface ReadText {
  ids: number[];
  /** Number of tokens from the start whose keys and values another text with the same beginning would share to the bit. */
  shared: number;
}

/** State that a reader leaves for the next one: the text in the first slot, read with this adapter. */
export interface ReaderState {
  slots: CacheSlots;
  text: ReadText;
  adapter: Tensors;
}

/** A decoder that reads in place, see `InPlaceStream`. */
export interface InPlaceGraph {
  graph: CompiledGraph;
  layout: readonly SlotTensor[];
  /** Rotary embeddings of queries and keys, see `InPlaceStream`. */
  rotaries: ReadonlyMap<string, RotaryPositions>;
  maxLength: number;
  /**
   * Whether rows are rounded to few bits, so that a difference in the last bit can change the words that follow. A token is then never read as a
   * single row: kernels compute two or more rows to the same bits, whatever their number, but a single row in another order.
   */
  rounds: boolean;
}

const rotaryInputs = (rotaries: InPlaceGraph["rotaries"], count: number): Record<string, Tensor> =>
  Object.fromEntries(
    [...rotaries].flatMap(([name, rotary]) => {
      return Object.entries(rotaryTables(rotary, count)).map(([part, table]) => [`${name}.${part}`, table]);
    }),
  );

/** Indices of the keys of new tokens at `positions` of each text, `[texts, heads, sequence, 3]`. */
function newPlaces(positions: readonly (readonly number[])[], heads: number): Tensor {
  const places = positions.flatMap((own, text) =>
    Array.from({ length: heads }, (_, head) => own.flatMap((position) => [text, head, position])).flat(),
  );
  return int64([positions.length, heads, positions[0]!.length, 3], places);
}

/** Rows that kernels for few bits compute at once: a single remaining row is computed in another order than several. */
const ROWS_AT_A_TIME = 128;

/** Fewest tokens that are worth copying from another text with the same beginning. */
const WORTH_COPYING = 8;

/**
 * Reads texts whose keys and values are in separate slots. A text is read alone, except for a beginning that it shares with another
 * text, which is copied. Several texts continue together by one token each.
 */
export class InPlaceReader implements TextReader {
  readonly #slots: CacheSlots;
  /** Fewest rows of a run: if rows are rounded, an empty text accompanies the last remaining one. */
  readonly #leastRows: number;
  /** Whether one token of the only text is read with another token, which is then removed. */
  readonly readsPairs: boolean;
  #read: ReadText[] = [];
  #slotOf: number[] = [];
  #left: ReadText;
  /** Output arrays of runs with one token per text, by the number of texts: the results of the first such run. */
  readonly #results = new Map<number, Tensors>();
  readonly readEach?: (ids: readonly number[]) => Promise<Float32Array[]>;

  constructor(
    private readonly graph: InPlaceGraph,
    private readonly adapter: Tensors | undefined,
    left: ReaderState | undefined,
    private readonly give: (left: ReaderState) => void,
    alone: boolean,
  ) {
    this.#leastRows = graph.rounds && !alone ? 2 : 1;
    this.readsPairs = graph.rounds && alone;
    this.#slots = left?.slots ?? new CacheSlots(graph.layout, (positions) => rotaryInputs(graph.rotaries, positions));
    this.#left = left && left.adapter === adapter ? left.text : { ids: [], shared: 0 };
    // With other texts, a text has one row, whose attention differs in the last bits from that of several rows.
    if (!graph.rounds || alone) this.readEach = (ids) => this.#readText(this.#slotOf[0]!, ids, ids.length);
  }

  async read(more: readonly (readonly number[])[]): Promise<Float32Array[]> {
    if (this.#read.length === 0) return this.join(more);
    if (this.#slotOf.length !== more.length)
      throw new Error(`${this.#slotOf.length} texts are read, not ${more.length}`);
    if (this.readsPairs && more.length === 1 && more[0]!.length === 1) {
      const [logits] = await this.#readText(this.#slotOf[0]!, [more[0]![0]!, 0], 2);
      this.forget(1);
      return [logits!];
    }
    const areTokens = (more.length > 1 || this.#leastRows > 1) && more.every(({ length }) => length === 1);
    if (areTokens) return this.#readTokens(more.flat());
    const logits: Float32Array[] = [];
    for (const [text, ids] of more.entries()) logits.push((await this.#readText(this.#slotOf[text]!, ids, 1))[0]!);
    return logits;
  }

  async join(prompts: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const logits: Float32Array[] = [];
    const all = this.#read.length + prompts.length;
    this.#reserve(all, Math.max(0, ...prompts.map(({ length }) => length)));
    for (const prompt of prompts) {
      const slot = this.#read.length;
      const begun = this.#cachedLength(prompt, slot);
      this.#read.push({ ids: prompt.slice(0, begun), shared: begun });
      this.#slotOf.push(slot);
      logits.push((await this.#readText(slot, prompt.slice(begun), 1))[0]!);
    }
    return logits;
  }

  /** Number of a prompt's tokens that its slot holds already, or after a copy from a text with the same beginning. */
  #cachedLength(prompt: readonly number[], slot: number): number {
    // The last token must be read for its logits; if rows are rounded, as one of several rows, like the whole prompt.
    const least = this.graph.rounds ? 2 : 1;
    const sharedLength = ({ ids, shared }: ReadText): number => {
      const most = Math.min(prompt.length - least, shared);
      let length = 0;
      while (length < most && prompt[length] === ids[length]) length++;
      return length < WORTH_COPYING ? 0 : length;
    };
    let begun = slot === 0 ? sharedLength(this.#left) : 0;
    for (const [other, text] of this.#read.entries()) {
      const length = sharedLength(text);
      if (length <= begun) continue;
      this.#slots.copy(other, slot, length);
      begun = length;
    }
    return begun;
  }

  forget(count: number): void {
    const text = this.#read[this.#slotOf[0]!]!;
    text.ids.length -= count;
    text.shared = Math.min(text.shared, text.ids.length);
  }

  #reserve(slots: number, positions: number): void {
    const longest = Math.max(positions, ...this.#read.map(({ ids }) => ids.length));
    if (longest > this.graph.maxLength) {
      throw new UserError(
        `a text of ${longest} tokens is longer than the ${this.graph.maxLength} that the model reads`,
      );
    }
    const texts = this.#read.length === 0 && this.#left.ids.length > 0 ? [this.#left] : this.#read;
    this.#slots.reserve(
      slots,
      longest,
      texts.map(({ ids }) => ids.length),
    );
  }

  async #readText(slot: number, ids: readonly number[], outputs: number): Promise<Float32Array[]> {
    if (this.graph.rounds && ids.length > 1 && ids.length % ROWS_AT_A_TIME === 1) {
      await this.#readText(slot, ids.slice(0, -2), 1);
      return this.#readText(slot, ids.slice(-2), outputs);
    }
    const own = this.#read[slot]!;
    const start = own.ids.length;
    this.#reserve(this.#slots.count, start + ids.length);
    const rows = Array.from({ length: outputs }, (_, i) => ids.length - outputs + i);
    const positions = ids.map((_, i) => start + i);
    const logits = await this.#run(slot, 1, ids, positions, rows);
    own.ids.push(...ids);
    if (own.shared === start && (ids.length > 1 || !this.graph.rounds)) own.shared = own.ids.length;
    return logits;
  }

  async #readTokens(tokens: readonly number[]): Promise<Float32Array[]> {
    const count = Math.max(tokens.length, this.#leastRows);
    const ids = Array<number>(count).fill(0);
    const positions = Array<number>(count).fill(0);
    this.#slotOf.forEach((slot, text) => {
      ids[slot] = tokens[text]!;
      positions[slot] = this.#read[slot]!.ids.length;
    });
    this.#reserve(Math.max(this.#slots.count, count), Math.max(...positions) + 1);
    const logits = await this.#run(0, count, ids, positions, [...ids.keys()], true);
    for (const [slot, text] of this.#read.entries()) text.ids.push(ids[slot]!);
    return this.#slotOf.map((slot) => logits[slot]!);
  }

  async #run(
    first: number,
    texts: number,
    ids: readonly number[],
    positions: readonly number[],
    rows: readonly number[],
    again = false,
  ): Promise<Float32Array[]> {
    const each = ids.length / texts;
    const ofEach = Array.from({ length: texts }, (_, text) => positions.slice(text * each, (text + 1) * each));
    const last = ofEach.map((own) => own.at(-1)!);
    const given = {
      input_ids: int64([texts, each], ids),
      position_ids: int64([texts, each], positions),
      last: int32([texts], Int32Array.from(last)),
      longest: int32([1], Int32Array.of(Math.max(...last) + 1)),
      output_rows: int32([rows.length], Int32Array.from(rows)),
      new_places: newPlaces(ofEach, this.graph.layout[0]!.heads),
      ...this.#slots.tensors(first, texts),
    };
    const results = await this.graph.graph.run(given, this.adapter, again ? this.#results.get(texts) : undefined);
    if (again) this.#results.set(texts, new Map(Object.entries(results)));
    const { logits, written } = results;
    const starts = ofEach.map(([start]) => start!);
    this.#slots.write(first, starts, each, asFloat32(written!).data);
    const { data } = asFloat32(logits!);
    const width = data.length / rows.length;
    return rows.map((_, i) => data.subarray(i * width, (i + 1) * width));
  }

  keep(texts: readonly number[]): void {
    const count = texts.length;
    if (count === 0) this.#left = this.#read[0] ?? this.#left;
    this.#reserve(count, 0);
    const from = texts.map((text) => this.#slotOf[text]!);
    const next: ReadText[] = Array(count);
    const slots = Array<number>(count).fill(-1);
    // Texts in the first slots stay there.
    from.forEach((slot, i) => {
      if (slot >= count || next[slot]) return;
      next[slot] = this.#read[slot]!;
      slots[i] = slot;
    });
    let free = 0;
    from.forEach((slot, i) => {
      if (slots[i] !== -1) return;
      while (next[free]) free++;
      const { ids, shared } = this.#read[slot]!;
      next[free] = { ids: [...ids], shared };
      slots[i] = free;
      this.#slots.copy(slot, free, ids.length);
    });
    this.#read = next;
    this.#slotOf = slots;
  }

  release(): void {
    // Many slots would occupy much memory for long, and weights without an adapter may change.
    if (this.#slots.count <= this.#leastRows && this.adapter) {
      this.give({ slots: this.#slots, text: this.#read[0] ?? this.#left, adapter: this.adapter });
    }
    this.#read = [];
    this.#slotOf = [];
  }
}
