import { UserError } from "../../errors.ts";
import { asFloat32, int32, int64, type Tensor, type Tensors } from "../../graph/tensor.ts";
import { type RotaryPositions, rotaryTables } from "../../models/rotary.ts";
import type { CompiledGraph } from "../../runtime/compiled-graph.ts";
import { CacheRooms, type RoomTensor } from "./cache-rooms.ts";
import type { TextReader } from "./text-reader.ts";

/** What a room holds. */
interface ReadText {
  ids: number[];
  /** How many of these, from the first on, another text that begins alike would have read to the same bits. */
  shared: number;
}

/** What a reader leaves to the next: the text in the first room, read with this adapter. */
export interface LeftText {
  rooms: CacheRooms;
  text: ReadText;
  adapter: Tensors;
}

/** A decoder that reads in place, see `InPlaceStream`. */
export interface InPlaceGraph {
  graph: CompiledGraph;
  layout: readonly RoomTensor[];
  /** How positions turn queries and keys, see `InPlaceStream`. */
  rotaries: ReadonlyMap<string, RotaryPositions>;
  maxLength: number;
  /**
   * Whether rows are rounded to few bits, so that a last bit that differs can change the words that follow. A token is then never read as the
   * only row: kernels compute two rows and more to the same bits, however many there are, but one alone in another order.
   */
  rounds: boolean;
}

/** Cosines and sines of all positions before `count`, by the inputs' names. */
const turnsOf = (rotaries: InPlaceGraph["rotaries"], count: number): Record<string, Tensor> =>
  Object.fromEntries(
    [...rotaries].flatMap(([name, rotary]) => {
      return Object.entries(rotaryTables(rotary, count)).map(([part, table]) => [`${name}.${part}`, table]);
    }),
  );

/** Where the keys of new tokens at `positions` of each text stand in the rooms, `[texts, heads, sequence, 3]`. */
function newPlaces(positions: readonly (readonly number[])[], heads: number): Tensor {
  const places = positions.flatMap((own, text) =>
    Array.from({ length: heads }, (_, head) => own.flatMap((position) => [text, head, position])).flat(),
  );
  return int64([positions.length, heads, positions[0]!.length, 3], places);
}

/** Rows that kernels over few bits take at a time: one that is left over is computed in another order than several. */
const ROWS_AT_A_TIME = 128;

/** Fewest tokens that are worth copying from another text that begins alike. */
const WORTH_COPYING = 8;

/**
 * Reads texts whose keys and values lie in rooms of their own. A text is read alone, but for what it begins alike with another that was read:
 * that is copied. Several texts go on together by a token each.
 */
export class InPlaceReader implements TextReader {
  readonly #graph: InPlaceGraph;
  readonly #adapter: Tensors | undefined;
  readonly #give: (left: LeftText) => void;
  readonly #rooms: CacheRooms;
  /** Rows that a run has at the least: beside the last text that is left an empty one stands where rows are rounded. */
  readonly #leastRows: number;
  /** A token of the one text is read with another, which is then taken back. */
  readonly readsPairs: boolean;
  /** The text in each room. */
  #read: ReadText[] = [];
  /** The room of each text. */
  #roomOf: number[] = [];
  /** What was in the first room before. */
  #left: ReadText;
  /** What a run of one token of each text writes into, by the number of texts: the results of the first such run. */
  readonly #results = new Map<number, Tensors>();
  readonly readEach?: (ids: readonly number[]) => Promise<Float32Array[]>;

  /**
   * @param left what another reader has read before
   * @param give takes what this one has read, when it is released
   * @param alone whether it reads one text, beside which no other comes
   */
  constructor(
    graph: InPlaceGraph,
    adapter: Tensors | undefined,
    left: LeftText | undefined,
    give: (left: LeftText) => void,
    alone: boolean,
  ) {
    this.#graph = graph;
    this.#leastRows = graph.rounds && !alone ? 2 : 1;
    this.readsPairs = graph.rounds && alone;
    this.#adapter = adapter;
    this.#rooms = left?.rooms ?? new CacheRooms(graph.layout, (positions) => turnsOf(graph.rotaries, positions));
    this.#left = left && left.adapter === adapter ? left.text : { ids: [], shared: 0 };
    this.#give = give;
    // Beside others a text has one row, whose attention has other last bits than that of several rows.
    if (!graph.rounds || alone) this.readEach = (ids) => this.#readText(this.#roomOf[0]!, ids, ids.length);
  }

  async read(more: readonly (readonly number[])[]): Promise<Float32Array[]> {
    if (this.#read.length === 0) return this.join(more);
    if (this.#roomOf.length !== more.length)
      throw new Error(`${this.#roomOf.length} texts are read, not ${more.length}`);
    if (this.readsPairs && more.length === 1 && more[0]!.length === 1) {
      const [logits] = await this.#readText(this.#roomOf[0]!, [more[0]![0]!, 0], 2);
      this.forget(1);
      return [logits!];
    }
    const areTokens = (more.length > 1 || this.#leastRows > 1) && more.every(({ length }) => length === 1);
    if (areTokens) return this.#readTokens(more.flat());
    const logits: Float32Array[] = [];
    for (const [text, ids] of more.entries()) logits.push((await this.#readText(this.#roomOf[text]!, ids, 1))[0]!);
    return logits;
  }

  /** Texts that come beside those that are read. @returns as {@link read}, of these alone */
  async join(prompts: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const logits: Float32Array[] = [];
    const all = this.#read.length + prompts.length;
    this.#reserve(all, Math.max(0, ...prompts.map(({ length }) => length)));
    for (const prompt of prompts) {
      const room = this.#read.length;
      const begun = this.#begun(prompt, room);
      this.#read.push({ ids: prompt.slice(0, begun), shared: begun });
      this.#roomOf.push(room);
      logits.push((await this.#readText(room, prompt.slice(begun), 1))[0]!);
    }
    return logits;
  }

  /** How many of a prompt's tokens its room has then: what is there already, or what is copied of a text that begins alike. */
  #begun(prompt: readonly number[], room: number): number {
    // What comes next is asked of the last token: it must be read, and where rows are rounded as one of several, as the whole prompt would be.
    const least = this.#graph.rounds ? 2 : 1;
    const alike = ({ ids, shared }: ReadText): number => {
      const most = Math.min(prompt.length - least, shared);
      let length = 0;
      while (length < most && prompt[length] === ids[length]) length++;
      return length < WORTH_COPYING ? 0 : length;
    };
    let begun = room === 0 ? alike(this.#left) : 0;
    for (const [other, text] of this.#read.entries()) {
      const length = alike(text);
      if (length <= begun) continue;
      this.#rooms.copy(other, room, length);
      begun = length;
    }
    return begun;
  }

  /** Takes back the last tokens of one text, where there is no other. */
  forget(count: number): void {
    const text = this.#read[this.#roomOf[0]!]!;
    text.ids.length -= count;
    text.shared = Math.min(text.shared, text.ids.length);
  }

  #reserve(rooms: number, positions: number): void {
    const longest = Math.max(positions, ...this.#read.map(({ ids }) => ids.length));
    if (longest > this.#graph.maxLength) {
      throw new UserError(
        `a text of ${longest} tokens is longer than the ${this.#graph.maxLength} that the model reads`,
      );
    }
    const texts = this.#read.length === 0 && this.#left.ids.length > 0 ? [this.#left] : this.#read;
    this.#rooms.reserve(
      rooms,
      longest,
      texts.map(({ ids }) => ids.length),
    );
  }

  /** @param outputs so many of the last tokens get logits */
  async #readText(room: number, ids: readonly number[], outputs: number): Promise<Float32Array[]> {
    if (this.#graph.rounds && ids.length > 1 && ids.length % ROWS_AT_A_TIME === 1) {
      await this.#readText(room, ids.slice(0, -2), 1);
      return this.#readText(room, ids.slice(-2), outputs);
    }
    const own = this.#read[room]!;
    const start = own.ids.length;
    this.#reserve(this.#rooms.rooms, start + ids.length);
    const rows = Array.from({ length: outputs }, (_, i) => ids.length - outputs + i);
    const positions = ids.map((_, i) => start + i);
    const logits = await this.#run(room, 1, ids, positions, rows);
    own.ids.push(...ids);
    if (own.shared === start && (ids.length > 1 || !this.#graph.rounds)) own.shared = own.ids.length;
    return logits;
  }

  /** One token more of every text. */
  async #readTokens(tokens: readonly number[]): Promise<Float32Array[]> {
    const count = Math.max(tokens.length, this.#leastRows);
    const ids = Array<number>(count).fill(0);
    const positions = Array<number>(count).fill(0);
    this.#roomOf.forEach((room, text) => {
      ids[room] = tokens[text]!;
      positions[room] = this.#read[room]!.ids.length;
    });
    this.#reserve(Math.max(this.#rooms.rooms, count), Math.max(...positions) + 1);
    const logits = await this.#run(0, count, ids, positions, [...ids.keys()], true);
    for (const [room, text] of this.#read.entries()) text.ids.push(ids[room]!);
    return this.#roomOf.map((room) => logits[room]!);
  }

  /** @param again whether its results may be written over by the next run of as many texts */
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
      new_places: newPlaces(ofEach, this.#graph.layout[0]!.heads),
      ...this.#rooms.tensors(first, texts),
    };
    const results = await this.#graph.graph.run(given, this.#adapter, again ? this.#results.get(texts) : undefined);
    if (again) this.#results.set(texts, new Map(Object.entries(results)));
    const { logits, written } = results;
    const starts = ofEach.map(([start]) => start!);
    this.#rooms.write(first, starts, each, asFloat32(written!).data);
    const { data } = asFloat32(logits!);
    const width = data.length / rows.length;
    return rows.map((_, i) => data.subarray(i * width, (i + 1) * width));
  }

  keep(texts: readonly number[]): void {
    const count = texts.length;
    if (count === 0) this.#left = this.#read[0] ?? this.#left;
    this.#reserve(count, 0);
    const from = texts.map((text) => this.#roomOf[text]!);
    const next: ReadText[] = Array(count);
    const rooms = Array<number>(count).fill(-1);
    // Who is in one of the first rooms stays there.
    from.forEach((room, i) => {
      if (room >= count || next[room]) return;
      next[room] = this.#read[room]!;
      rooms[i] = room;
    });
    let free = 0;
    from.forEach((room, i) => {
      if (rooms[i] !== -1) return;
      while (next[free]) free++;
      const { ids, shared } = this.#read[room]!;
      next[free] = { ids: [...ids], shared };
      rooms[i] = free;
      this.#rooms.copy(room, free, ids.length);
    });
    this.#read = next;
    this.#roomOf = rooms;
  }

  release(): void {
    // Many rooms would hold much memory for long, and weights that no adapter brings may change.
    if (this.#rooms.rooms <= this.#leastRows && this.#adapter) {
      this.#give({ rooms: this.#rooms, text: this.#read[0] ?? this.#left, adapter: this.#adapter });
    }
    this.#read = [];
    this.#roomOf = [];
  }
}
