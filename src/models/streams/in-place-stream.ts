import type { Value } from "../../graph/graph.ts";
import { cachedAttention, cast, concat, gather, gatherND, reshape, rotate } from "../../graph/ops.ts";
import { type RotaryPositions, rotaryAngles } from "../rotary.ts";
import { PaddedStream } from "./padded-stream.ts";
import type { AttendedHeads } from "./token-stream.ts";

/** ONNX Runtime's kernel takes heads of so many features, and of multiples; it turns those of the second. */
const HEAD_SIZES = { plain: 8, turned: 16 };

/** Number of tokens that get outputs. */
const OUTPUT_ROWS = "outputRows";

/**
 * Texts that a decoder reads on, each in a room of its own for its keys and values, inputs `[batch, heads, room, size]`. Those of the new
 * tokens are an output, {@link InPlaceStream.written}: whoever runs the graph writes them into the rooms, so that a run copies no more. ONNX Runtime's
 * Node binding copies whole outputs, those that are given memory too.
 * `input_ids` and `position_ids` `[batch, sequence]` int64 are of the new tokens, `last` `[batch]` int32 says where the last of each stands,
 * `longest` `[1]` how many tokens the longest text has, and `output_rows` `[outputRows]` int32 which of the new tokens are to have outputs.
 * `new_places` `[batch, heads, sequence, 3]` int64 has each new key's text, head and position. Nothing is padded: several texts go on by a
 * token each. Cosines and sines of at least so many positions as the longest text has are inputs `[positions, pairs]`.
 */
export class InPlaceStream extends PaddedStream {
  /** Keys and values of the tokens before, by the inputs' names. */
  readonly past: Record<string, Value> = {};
  readonly #written: Value[] = [];
  /** How positions turn queries and keys, by what names of inputs begin with: `<name>.cosine` and `<name>.sine`. */
  readonly rotaries = new Map<string, RotaryPositions>();
  #isOwn = true;
  #attentions = 0;

  /** Whether the model has been written so that all its attentions are {@link attend}: no other knows where texts end. */
  get fits(): boolean {
    return this.#isOwn && this.#attentions > 0;
  }

  /** Keys and values of the new tokens, `[batch, heads, sequence, size]`, in the order of {@link past} one behind the other. */
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
    if (size % HEAD_SIZES.plain !== 0) this.#isOwn = false;
    const turnsItself = size % HEAD_SIZES.turned === 0;
    const angles = rotary && !turnsItself ? rotaryAngles(this.positionIds, rotary) : undefined;
    const turned = (rows: Value, count: number): Value => (angles ? rotate(rows, ...angles, count) : rows);
    const room = (part: string): Value => {
      const name = `past_key_values.${block}.${part}`;
      const shape = ["batch", keyValueHeads, "room", size] as const;
      this.past[name] = this.graph.leaf("input", name, "float32", shape);
      return this.past[name];
    };
    const [attended, keys, values] = cachedAttention(
      {
        query: side(turned(query, heads)),
        key: side(turned(key, keyValueHeads)),
        value: side(value),
        pastKeys: room("key"),
        pastValues: room("value"),
        last: this.graph.leaf("input", "last", "int32", ["batch"]),
        longest: this.graph.leaf("input", "longest", "int32", [1]),
        rotary: rotary && turnsItself ? this.#turns(rotary) : undefined,
      },
      { heads, keyValueHeads, scale, window, cap },
    );
    const places = this.graph.leaf("input", "new_places", "int64", ["batch", keyValueHeads, "sequence", 3]);
    this.#written.push(gatherND(keys, places), gatherND(values, places));
    return reshape(attended, [this.tokens, heads * size]);
  }

  #turns(rotary: RotaryPositions): [cosine: Value, sine: Value] {
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
    this.#isOwn = false;
    return super.withPast(keys, values);
  }

  override outputRows(rows: Value): Value {
    return gather(rows, this.graph.leaf("input", "output_rows", "int32", [OUTPUT_ROWS]));
  }
}
