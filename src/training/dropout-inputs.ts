import { float32, sizeOf, type Tensor } from "../graph/tensor.ts";
import type { DropoutLayer } from "../models/forward-context.ts";
import { fillAttentionMask, fillHiddenMask } from "./dropout.ts";

/** Which masks to draw: those of an optimizer step for the examples of a micro-batch. */
export interface DropoutDraw {
  seed: number;
  step: number;
  /** Each example's index in the training set, `[batch]`. */
  examples: readonly number[];
  /** Padded length. */
  sequence: number;
}

/** Draws the masks of a graph's dropout layers; their arrays are used again by the next draw. */
export class DropoutInputs {
  readonly #layers: readonly DropoutLayer[];
  readonly #rooms: Float32Array<ArrayBuffer>[];

  constructor(layers: readonly DropoutLayer[]) {
    this.#layers = layers;
    this.#rooms = layers.map(() => new Float32Array(0));
  }

  /** @param inputs the model's other inputs: layers that drop rows read the rows' numbers there */
  draw(
    { seed, step, examples, sequence }: DropoutDraw,
    inputs: Readonly<Record<string, Tensor>>,
  ): Record<string, Tensor> {
    const batch = examples.length;
    const tokens = batch * sequence;
    const tokenExamples = Uint32Array.from({ length: tokens }, (_, row) => examples[row % batch]!);
    const tokenPositions = Uint32Array.from({ length: tokens }, (_, row) => Math.floor(row / batch));
    const masks: Record<string, Tensor> = {};
    this.#layers.forEach(({ input, rate, kind, width, rowNumbers }, site) => {
      const which = { seed, step, site, probability: rate };
      const mask = (shape: readonly number[]): Float32Array<ArrayBuffer> => {
        const data = this.#room(site, sizeOf(shape));
        masks[input] = float32(shape, data);
        return data;
      };
      switch (kind) {
        case "attention":
          fillAttentionMask(mask([batch, width, sequence, sequence]), which, examples, width, sequence);
          break;
        case "hidden":
          fillHiddenMask(mask([tokens, width]), which, tokenExamples, tokenPositions, width);
          break;
        case "pooled":
          fillHiddenMask(mask([batch, width]), which, examples, new Uint32Array(batch), width);
          break;
        case "rows": {
          const rows = inputs[rowNumbers!]!.data as Int32Array;
          fillHiddenMask(mask([rows.length, width]), which, new Uint32Array(rows.length), rows, width);
        }
      }
    });
    return masks;
  }

  #room(site: number, size: number): Float32Array<ArrayBuffer> {
    if (this.#rooms[site]!.length < size) this.#rooms[site] = new Float32Array(size);
    return this.#rooms[site]!.subarray(0, size);
  }
}
