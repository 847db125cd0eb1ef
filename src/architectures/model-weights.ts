import type { TensorSource } from "../checkpoints/tensor-source.ts";
import { UserError } from "../errors.ts";
import { float32, type Tensor, type TensorData, type Tensors, transposed } from "../graph/tensor.ts";
import {
  BASE_FORMATS,
  type BaseFormat,
  isQuantized,
  quantizedParts,
  quantizeWeight,
  weightOfBlocks,
} from "./base-format.ts";
import type { ModelDescription } from "./families.ts";
import type { WeightSpec } from "./model-parts.ts";
import type { ModelTrace } from "./trace.ts";

export interface ModelWeights {
  /** Weights by name without the family's prefix. */
  weights: Map<string, Tensor<"float32">>;
  quantized: Tensors;
  missing: WeightSpec[];
  unused: string[];
}

export interface ReadOptions {
  /** Whether to load a weight of the head from the checkpoint; one of another shape is never loaded. */
  takes?(weight: WeightSpec): boolean;
  format?: BaseFormat;
  backbone?: Pick<ModelWeights, "weights" | "quantized"> | undefined;
}

/**
 * Reads the weights that a model needs; their names may have the family's prefix. They are converted to their storage
 * format one by one, so that at most one layer is in memory in both.
 * @throws UserError if a backbone weight is missing or its shape differs from config.json.
 */
export async function readModelWeights(
  source: TensorSource,
  { architecture }: ModelDescription,
  trace: Pick<ModelTrace, "weights">,
  { takes = () => true, format = "float32", backbone }: ReadOptions = {},
): Promise<ModelWeights> {
  const weights = new Map<string, Tensor<"float32">>();
  const quantized = new Map(backbone?.quantized);
  const missing: WeightSpec[] = [];
  const unused = new Set(source.tensors.keys());
  for (const spec of trace.weights.values()) {
    const stored = storedName(spec, source, architecture.prefix);
    const found = stored === undefined ? undefined : source.tensors.get(stored)!.shape;
    // An ONNX network's layers have one orientation, whatever the family's own checkpoints have.
    const isTransposed = spec.transposed && !source.network;
    const expected = isTransposed ? spec.shape.toReversed() : spec.shape;
    const fits = found?.join() === expected.join();
    const oriented = (tensor: Tensor<"float32">): Tensor<"float32"> => (isTransposed ? transposed(tensor) : tensor);
    if (stored !== undefined && fits && (spec.part === "backbone" || takes(spec))) {
      unused.delete(stored);
      if (!isQuantized(spec, format)) {
        const kept = spec.part === "backbone" ? backbone?.weights.get(spec.name) : undefined;
        weights.set(spec.name, kept ?? oriented(await source.read(stored)));
      } else if (!quantizedParts(spec, format).every(([name]) => quantized.has(name))) {
        const blocks = spec.transposed ? undefined : await source.readBlocks?.(stored);
        const quantize = (values: Tensor<"float32">): [string, Tensor][] =>
          quantizeWeight(spec, format, oriented(values));
        const asStored = (): [string, Tensor][] | undefined => blocks && weightOfBlocks(spec, format, blocks());
        // Training feeds the weights at each step, so they stay in memory.
        const readNow = BASE_FORMATS.includes(format) ? undefined : source.readNow;
        const tensors = readNow
          ? lazyTensors(quantizedParts(spec, format), () => asStored() ?? quantize(readNow(stored)))
          : (asStored() ?? quantize(await source.read(stored)));
        for (const [name, tensor] of tensors) quantized.set(name, tensor);
      }
    } else if (spec.buffer && found === undefined) {
      weights.set(spec.name, float32(spec.shape as number[]));
    } else if (spec.part === "head") {
      missing.push(spec);
    } else if (found === undefined) {
      const advice = source.network ? "; take the model's safetensors or GGUF file" : "";
      throw new UserError(`${source.location} has no tensor "${spec.name}", which its config.json calls for${advice}`);
    } else {
      throw new UserError(
        `${source.location}: tensor "${stored}" is [${found.join(", ")}], but config.json calls for [${expected.join(", ")}]`,
      );
    }
  }
  return { weights, quantized, missing, unused: [...unused] };
}

/** Creates tensors whose data are computed on access and held weakly: data that a session copied are not kept here. */
function lazyTensors(
  parts: readonly [string, Pick<Tensor, "dtype" | "shape">][],
  make: () => [string, Tensor][],
): [string, Tensor][] {
  let known: WeakRef<TensorData>[] = [];
  return parts.map(([name, like], i) => {
    const tensor: Tensor = {
      ...like,
      get data() {
        const cached = known[i]?.deref();
        if (cached) return cached;
        const made = make().map(([, { data }]) => data);
        known = made.map((data) => new WeakRef(data));
        return made[i]!;
      },
    };
    return [name, tensor];
  });
}

/** Other names of the token embeddings: tied output layers, and the embeddings of an encoder-decoder's stacks. */
const TIED_TO_WORDS =
  /(^|\.)(decoder|vocab_projector|lm_head|generator_lm_head|(encoder|decoder)\.embed_tokens)\.weight$/;

function storedName({ name, shape }: WeightSpec, source: TensorSource, prefix: string): string | undefined {
  // Old checkpoints name a norm's weight and bias gamma and beta.
  const old = name.replace(/LayerNorm\.weight$/, "LayerNorm.gamma").replace(/LayerNorm\.bias$/, "LayerNorm.beta");
  const names = [name, old].flatMap((each) => [`${prefix}.${each}`, each]);
  const stored = names.find((each) => source.tensors.has(each));
  if (stored !== undefined) return stored;
  // A checkpoint may store only one of several tied weights; safetensors files may name it.
  const kept = names.map((each) => source.metadata?.[each]).find((each) => each && source.tensors.has(each));
  if (kept !== undefined || !/((word|tok)_embeddings|^embed_tokens|^wte|^shared)\.weight$/.test(name)) return kept;
  return [...source.tensors].find(
    ([each, info]) => TIED_TO_WORDS.test(each) && info.shape.join() === shape.join(),
  )?.[0];
}
