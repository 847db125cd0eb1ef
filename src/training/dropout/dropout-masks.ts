import type { DropoutLayer } from "../../architectures/forward-context.ts";
import { evaluate } from "../../graph/dimension.ts";
import { elementsOf, float32, type Tensor } from "../../graph/tensor.ts";
import type { LaidOutBatch, RowOrigins } from "../batches/model-inputs.ts";
import { fillAttentionMask, fillHiddenMask } from "./dropout.ts";
import { MaskMemory } from "./mask-memory.ts";

/** Draws the masks of a graph's dropout layers. The next draw overwrites their arrays. */
export class DropoutMasks {
  readonly #memory = new MaskMemory();

  constructor(
    private readonly layers: readonly DropoutLayer[],
    private readonly seed: number,
  ) {}

  draw(step: number, batch: LaidOutBatch): Record<string, Tensor> {
    const masks: Record<string, Tensor> = {};
    const shapes = this.layers.map(({ shape }) => shape.map((dimension) => evaluate(dimension, batch.sizes)));
    const arrays = this.#memory.arrays(shapes.map(elementsOf));
    this.layers.forEach((layer, i) => {
      const which = { seed: this.seed, step, layer: layer.number, probability: layer.rate };
      const [shape, mask] = [shapes[i]!, arrays[i]!];
      if (shape.length === 4) {
        const { examples } = batch.rows.batch!;
        const lengthsOf = (axis: number): readonly number[] => batch.lengths[layer.shape[axis]!]!;
        const queries =
          layer.read === undefined
            ? { lengths: lengthsOf(2), padded: shape[2]! }
            : { lengths: Array(examples.length).fill(1), padded: 1, starts: batch.rows[layer.read]!.positions };
        const keys = { lengths: lengthsOf(3), padded: shape[3]! };
        fillAttentionMask(this.#memory, mask, which, examples, { heads: shape[1]!, queries, keys });
      } else {
        const { examples, positions } = originsOf(layer, batch);
        fillHiddenMask(this.#memory, mask, which, examples, positions, shape[1]!);
      }
      masks[layer.input] = float32(shape, mask);
    });
    return masks;
  }
}

function originsOf({ shape, rowNumbers, read }: DropoutLayer, { inputs, rows, sizes }: LaidOutBatch): RowOrigins {
  if (read !== undefined) return rows[read]!;
  if (rowNumbers === undefined) return rows[shape[0]!] ?? paddedOrigins(rows.batch!, evaluate(shape[0]!, sizes));
  // These rows belong to no example; their numbers are the values that the layer looks up.
  const positions = Uint32Array.from(inputs[rowNumbers]!.data as Int32Array);
  return { examples: new Uint32Array(positions.length), positions };
}

function paddedOrigins({ examples }: RowOrigins, count: number): RowOrigins {
  const length = count / examples.length;
  return {
    examples: Uint32Array.from({ length: count }, (_, row) => examples[Math.floor(row / length)]!),
    positions: Uint32Array.from({ length: count }, (_, row) => row % length),
  };
}
