import type { Dimension } from "../../graph/dimension.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { concat } from "../../graph/ops.ts";

/**
 * Keys and values that one run gives to the next, attention after attention, in the names of Hugging Face's ONNX exports:
 * inputs `past_key_values.0.key`, outputs `present.0.key`.
 */
export class KeyCache {
  /** Keys and values of all that was read, `[batch, heads, length, size]`, by name of output. */
  readonly present: Record<string, Value> = {};
  /** The inputs that they are in the next run, in the same order. */
  readonly past: Record<string, Value> = {};
  readonly #graph: Graph;
  readonly #pastLength: Dimension;
  readonly #names: string;
  #blocks = 0;

  /**
   * @param pastLength symbol of the length that was read before
   * @param names what names have before `key` and `value`, such as `decoder.`
   */
  constructor(graph: Graph, pastLength: Dimension, names: string) {
    this.#graph = graph;
    this.#pastLength = pastLength;
    this.#names = names;
  }

  /** What was read before joined to what is new, of the attention whose turn it is; both `[batch, heads, new, size]`. */
  join(keys: Value, values: Value): [Value, Value] {
    return this.#remember(keys, values, (own, past) => {
      const present = concat([past, own], 2);
      return { present, seen: present };
    });
  }

  /** What another run gave, whole, in place of what would be the same again, `[batch, heads, length, size]`. */
  replace(keys: Value, values: Value): [Value, Value] {
    return this.#remember(keys, values, (own, past) => ({ present: own, seen: past }));
  }

  #remember(
    keys: Value,
    values: Value,
    write: (own: Value, past: Value) => { present: Value; seen: Value },
  ): [Value, Value] {
    const block = this.#blocks++;
    const one = (part: string, own: Value): Value => {
      const name = `${block}.${this.#names}${part}`;
      const [batch, heads, , size] = own.shape as [Dimension, Dimension, Dimension, Dimension];
      const shape = [batch, heads, this.#pastLength, size];
      const past = this.#graph.leaf("input", `past_key_values.${name}`, "float32", shape);
      const { present, seen } = write(own, past);
      this.past[`past_key_values.${name}`] = past;
      this.present[`present.${name}`] = present;
      return seen;
    };
    return [one("key", keys), one("value", values)];
  }
}
