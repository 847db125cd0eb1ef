import { storedLayer } from "../../architectures/base-format.ts";
import type { LinearModule } from "../../architectures/model-parts.ts";
import { UserError } from "../../errors.ts";
import type { Value } from "../../graph/graph.ts";
import { joinedBytes } from "../../graph/joined-bytes.ts";
import type { LayerFormat, MatrixShape, ThinFactors } from "../../graph/ops/weight-format.ts";
import { gemm } from "../../graph/ops.ts";
import { asFloat32, type DataType, float32, type Tensor, type TensorData, type Tensors } from "../../graph/tensor.ts";
import type { LowRank } from "../../methods/low-rank.ts";
import type { AdaptedModel } from "../../training/step-graph.ts";

/** Largest rank of all adapters of joined layers as a share of the input width: wider adapters cost more if they are joined. */
const MAX_THIN_SHARE = 1 / 4;

/**
 * Linear layers with the same input, such as query, key and value, written as one product over a base of few bits. Adapters and
 * additional terms of the format become two thin products, so four kernels replace three times five. The adapter, a LoRA or equivalent
 * to one, is constant.
 */
export class JoinedLayers {
  readonly tables = new Map<string, Tensor>();
  readonly #parameters: Tensors<"float32">;

  constructor(
    private readonly model: AdaptedModel,
    private readonly weights: Tensors,
  ) {
    this.#parameters = new Map(model.adaptation.parameters.map(({ name }) => [name, asFloat32(weights.get(name)!)]));
  }

  /** `x [rows, in]` → `[rows, all outputs]`; undefined if the format or the method has no such form. */
  write(x: Value, modules: readonly LinearModule[]): Value | undefined {
    const layers = modules.map((module) => this.#layer(module));
    if (!layers.every((layer) => layer !== undefined)) return undefined;
    const inFeatures = x.shape[1] as number;
    const shape = [layers.reduce((sum, { shape: [rows] }) => sum + rows, 0), inFeatures] as const;
    const [{ joined, parts }] = layers as [Layer];
    const thin = joinedFactors(layers, shape[0]);
    if (thin && thin.left.shape[0]! > MAX_THIN_SHARE * inFeatures) return undefined;
    const leaf = (part: string, tensor: Tensor): Value => {
      const name = `${modules.map((module) => module.name).join("+")}.${part}`;
      this.tables.set(name, tensor);
      return x.graph.leaf("frozen", name, tensor.dtype, tensor.shape);
    };
    const whole = Object.keys(parts).map((part) => [
      part,
      leaf(part, stacked(layers.map((each) => each.parts[part]!))),
    ]);
    const product = joined.linear(x, Object.fromEntries(whole), shape);
    if (!thin) return product;
    const between = gemm(x, leaf("left", thin.left), { transB: true });
    return gemm(between, leaf("right", thin.right), { transB: true, addend: product });
  }

  #layer(module: LinearModule): Layer | undefined {
    const { format = "float32", adaptation } = this.model;
    const shape = [module.outFeatures, module.inFeatures] as const;
    const weight = { name: `${module.name}.weight`, shape, part: "backbone", use: "linear" } as const;
    const stored = adaptation.trainsBackbone ? undefined : storedLayer(weight, format, this.weights);
    const joined = stored?.format.joined;
    if (!joined) return undefined;
    const layer = { joined, parts: stored.parts, shape, lowRank: undefined };
    if (!adaptation.modules.some(({ name }) => name === module.name)) return layer;
    const lowRank = this.#lowRank(module);
    return lowRank && !lowRank.magnitude ? { ...layer, lowRank } : undefined;
  }

  /** A layer's adapter as a LoRA; undefined if it has no such form, or would be too large. */
  #lowRank(module: LinearModule): LowRank | undefined {
    try {
      return this.model.adaptation.asLora?.(module, this.#parameters);
    } catch (error) {
      if (error instanceof UserError) return undefined;
      throw error;
    }
  }
}

interface Layer {
  joined: NonNullable<LayerFormat["joined"]>;
  parts: Readonly<Record<string, Tensor>>;
  shape: MatrixShape;
  lowRank: LowRank | undefined;
}

/** Additional terms of formats and adapters as one thin product; undefined if there are none. Computed at each access. */
function joinedFactors(layers: readonly Layer[], outFeatures: number): ThinFactors | undefined {
  const thinOf = ({ joined, parts, shape }: Layer): ThinFactors | undefined => joined.thin?.(parts, shape);
  const shared = thinOf(layers[0]!)?.left;
  const lefts = [...(shared ? [shared] : []), ...layers.flatMap(({ lowRank }) => lowRank?.A ?? [])];
  if (lefts.length === 0) return undefined;
  const left = asFloat32(stacked(lefts));
  const shape = [outFeatures, left.shape[0]!];
  const right: Tensor<"float32"> = {
    dtype: "float32",
    shape,
    get data() {
      const all = float32(shape);
      let [row, first] = [0, shared?.shape[0] ?? 0];
      for (const layer of layers) {
        const [own, { lowRank }] = [thinOf(layer), layer];
        if (own) copyInto(all, own.right, row, 0);
        if (lowRank) copyInto(all, lowRank.B, row, first, lowRank.alpha / lowRank.rank);
        row += layer.shape[0];
        first += lowRank?.rank ?? 0;
      }
      return all.data;
    },
  };
  return { left, right };
}

function copyInto(into: Tensor<"float32">, from: Tensor<"float32">, row: number, column: number, factor = 1): void {
  const [width, own] = [into.shape[1]!, from.shape[1]!];
  from.data.forEach((value, i) => {
    into.data[(row + Math.floor(i / own)) * width + column + (i % own)] = factor * value;
  });
}

/** Stacks tensors vertically. The result is computed at each access, so that no copy of the base remains. */
function stacked([first, ...others]: readonly Tensor[]): Tensor {
  if (others.length === 0) return first!;
  const all = [first!, ...others];
  const rows = all.reduce((sum, { shape }) => sum + shape[0]!, 0);
  const [{ dtype, shape }] = all as [Tensor];
  return {
    dtype,
    shape: shape.with(0, rows),
    get data() {
      const pieces = all.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      return VIEW[dtype]!(joinedBytes(pieces).buffer);
    },
  };
}

const VIEW: Partial<Record<DataType, (bytes: ArrayBuffer) => TensorData>> = {
  float32: (bytes) => new Float32Array(bytes),
  int8: (bytes) => new Int8Array(bytes),
  uint8: (bytes) => new Uint8Array(bytes),
};
