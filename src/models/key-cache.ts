import type { Dimension } from "../graph/dimension.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { concat } from "../graph/ops.ts";

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
    const block = this.#blocks++;
    return [this.#after(`${block}.${this.#names}key`, keys), this.#after(`${block}.${this.#names}value`, values)];
  }

  #after(name: string, own: Value): Value {
    const [batch, heads, , size] = own.shape as [Dimension, Dimension, Dimension, Dimension];
    const past = this.#graph.leaf("input", `past_key_values.${name}`, "float32", [
      batch,
      heads,
      this.#pastLength,
      size,
    ]);
    this.past[`past_key_values.${name}`] = past;
    const present = concat([past, own], 2);
    this.present[`present.${name}`] = present;
    return present;
  }
}
