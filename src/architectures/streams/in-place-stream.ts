import type { Value } from "../../graph/graph.ts";
import { cachedAttention, cast, concat, gather, gatherND, reshape, rotate } from "../../graph/ops.ts";
import { type RotaryPositions, rotaryAngles } from "../rotary.ts";
import { PaddedStream } from "./padded-stream.ts";
import { readRows } from "./read-rows.ts";
import type { AttendedHeads } from "./token-stream.ts";

/**
 * ONNX Runtime's kernel supports head sizes that are multiples of 8; for multiples of 16, it applies rotary positions.
 */
const HEAD_SIZES = { plain: 8, rotated: 16 };
const OUTPUT_ROWS = "outputRows";

/**
 * Texts that a decoder continues, each with a cache for its keys and values, inputs `[batch, heads, room, size]`. Those of the new tokens are an
 * output, {@link InPlaceStream.written}, which the caller writes into the caches, so that a run copies nothing more. ONNX Runtime's Node binding
 * copies whole outputs, even preallocated ones. `input_ids` and `position_ids` `[batch, sequence]` int64 belong to the new tokens; `last` `[batch]`
 * int32 is the position of the last token of each text, `longest` `[1]` the length of the longest text, and `output_rows` `[outputRows]` int32 selects
 * the new tokens with outputs. `new_places` `[batch, heads, sequence, 3]` int64 has each new key's text, head and position. There is no padding:
 * several texts grow by one token each. Cosines and sines for at least the length of the longest text are inputs `[positions, pairs]`.
 */
export class InPlaceStream extends PaddedStream {
  readonly past: Record<string, Value> = {};
  readonly #written: Value[] = [];
  /** Rotary positions by the prefix of their inputs: `<name>.cosine` and `<name>.sine`. */
  readonly rotaries = new Map<string, RotaryPositions>();
  #usesOnlyAttend = true;
  #attentions = 0;

  /** Whether every attention of the model uses {@link attend}; only this attention knows where texts end. */
  get fits(): boolean {
    return this.#usesOnlyAttend && this.#attentions > 0;
  }

  /** Keys and values of the new tokens, `[batch, heads, sequence, size]`, concatenated in the order of {@link past}. */
  get written(): Value {
    return concat(this.#written, 0);
  }

  override get positionIds(): Value {
    return reshape(cast(this.input("position_ids"), "int32"), [this.tokens]);
  }

  attend(query: Value, key: Value, value: Value, options: AttendedHeads): Value {
    const { heads, keyValueHeads, scale, window = 0, cap = 0, rotary } = options;
    const block = this.#attentions++;
    const side = (rows: Value): Value => reshape(rows, ["batch", "sequence", rows.shape[1]!]);
    const size = (query.shape[1] as number) / heads;
    if (size % HEAD_SIZES.plain !== 0) this.#usesOnlyAttend = false;
    const kernelRotates = size % HEAD_SIZES.rotated === 0;
    const angles = rotary && !kernelRotates ? rotaryAngles(this.positionIds, rotary) : undefined;
    const rotated = (rows: Value, count: number): Value => (angles ? rotate(rows, ...angles, count) : rows);
    const room = (part: string): Value => {
      const name = `past_key_values.${block}.${part}`;
      const shape = ["batch", keyValueHeads, "room", size] as const;
      this.past[name] = this.graph.leaf("input", name, "float32", shape);
      return this.past[name];
    };
    const [attended, keys, values] = cachedAttention(
      {
        query: side(rotated(query, heads)),
        key: side(rotated(key, keyValueHeads)),
        value: side(value),
        pastKeys: room("key"),
        pastValues: room("value"),
        last: this.graph.leaf("input", "last", "int32", ["batch"]),
        longest: this.graph.leaf("input", "longest", "int32", [1]),
        rotary: rotary && kernelRotates ? this.#rotaryTables(rotary) : undefined,
      },
      { heads, keyValueHeads, scale, window, cap },
    );
    const places = this.graph.leaf("input", "new_places", "int64", ["batch", keyValueHeads, "sequence", 3]);
    this.#written.push(gatherND(keys, places), gatherND(values, places));
    return reshape(attended, [this.tokens, heads * size]);
  }

  #rotaryTables(rotary: RotaryPositions): [cosine: Value, sine: Value] {
    const known = [...this.rotaries].find(([, { frequencies, factor }]) => {
      return factor === rotary.factor && frequencies.join() === rotary.frequencies.join();
    });
    const name = known?.[0] ?? `rotary.${this.rotaries.size}`;
    this.rotaries.set(name, rotary);
    const table = (part: string): Value =>
      this.graph.leaf("input", `${name}.${part}`, "float32", ["positions", rotary.frequencies.length]);
    return [table("cosine"), table("sine")];
  }

  override withPast(keys: Value, values: Value): [Value, Value] {
    this.#usesOnlyAttend = false;
    return super.withPast(keys, values);
  }

  override outputRows(rows: Value): Value {
    const select = (all: Value): Value => gather(all, this.graph.leaf("input", "output_rows", "int32", [OUTPUT_ROWS]));
    return readRows(rows, { name: OUTPUT_ROWS, all: this.tokens, count: OUTPUT_ROWS, select });
  }
}
