import type { Dimension } from "../../graph/dimension.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { concat } from "../../graph/ops.ts";

/**
 * Keys and values that one run passes to the next, for each attention, with the names of Hugging Face's ONNX exports:
 * inputs `past_key_values.0.key`, outputs `present.0.key`.
 */
export class KeyCache {
  /** Keys and values of all tokens so far, `[batch, heads, length, size]`, by name of output. */
  readonly present: Record<string, Value> = {};
  readonly past: Record<string, Value> = {};
  #blocks = 0;

  /**
   * @param pastLength symbol of the length of the past
   * @param names prefix of `key` and `value` in names, such as `decoder.`
   */
  constructor(
    private readonly graph: Graph,
    private readonly pastLength: Dimension,
    private readonly names: string,
  ) {}

  /** Appends the next attention's new keys and values to the past ones; both `[batch, heads, new, size]`. */
  join(keys: Value, values: Value): [Value, Value] {
    return this.#register(keys, values, (own, past) => {
      const present = concat([past, own], 2);
      return { present, seen: present };
    });
  }

  /** Returns the past keys and values instead of computing them again, `[batch, heads, length, size]`. */
  replace(keys: Value, values: Value): [Value, Value] {
    return this.#register(keys, values, (own, past) => ({ present: own, seen: past }));
  }

  #register(
    keys: Value,
    values: Value,
    write: (own: Value, past: Value) => { present: Value; seen: Value },
  ): [Value, Value] {
    const block = this.#blocks++;
    const one = (part: string, own: Value): Value => {
      const name = `${block}.${this.names}${part}`;
      const [batch, heads, , size] = own.shape as [Dimension, Dimension, Dimension, Dimension];
      const shape = [batch, heads, this.pastLength, size];
      const past = this.graph.leaf("input", `past_key_values.${name}`, "float32", shape);
      const { present, seen } = write(own, past);
      this.past[`past_key_values.${name}`] = past;
      this.present[`present.${name}`] = present;
      return seen;
    };
    return [one("key", keys), one("value", values)];
  }
}
