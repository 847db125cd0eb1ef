import { UserError } from "../errors.ts";
import { float32, type Tensor, type TensorData, type Tensors, transposed } from "../graph/tensor.ts";
import type { TensorSource } from "../model-files/tensor-source.ts";
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

/** A model's weights as a checkpoint has them. */
export interface ModelWeights {
  /** By name without the family's prefix. */
  weights: Map<string, Tensor<"float32">>;
  /** What stands in place of weights that are not kept in float32. */
  quantized: Tensors;
  /** Weights of the head that the checkpoint lacks, or has for another task: they must be made new. */
  missing: WeightSpec[];
  /** Tensors of the checkpoint that the model has no use for. */
  unused: string[];
}

export interface ReadOptions {
  /** Whether a weight of the head may be taken from the checkpoint; one of another shape never is. */
  takes?(weight: WeightSpec): boolean;
  /** How the backbone's weights are kept; float32 where absent. */
  format?: BaseFormat;
  /** The backbone's tensors, where they are in memory already in this format. */
  backbone?: Pick<ModelWeights, "weights" | "quantized"> | undefined;
}

/**
 * Reads the weights that a model needs, with or without the family's prefix before their names. One by one they get the
 * format that they are kept in, so that no more than a layer is there in both.
 * @throws UserError where a backbone weight is missing or has another shape than config.json says.
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
    // Layers of a network stand one way, whichever way the family's own checkpoints have them.
    const isTurned = spec.transposed && !source.network;
    const expected = isTurned ? spec.shape.toReversed() : spec.shape;
    const fits = found?.join() === expected.join();
    const asHere = (tensor: Tensor<"float32">): Tensor<"float32"> => (isTurned ? transposed(tensor) : tensor);
    if (stored !== undefined && fits && (spec.part === "backbone" || takes(spec))) {
      unused.delete(stored);
      if (!isQuantized(spec, format)) {
        const kept = spec.part === "backbone" ? backbone?.weights.get(spec.name) : undefined;
        weights.set(spec.name, kept ?? asHere(await source.read(stored)));
      } else if (!quantizedParts(spec, format).every(([name]) => quantized.has(name))) {
        const blocks = spec.transposed ? undefined : await source.readBlocks?.(stored);
        const quantize = (values: Tensor<"float32">): [string, Tensor][] =>
          quantizeWeight(spec, format, asHere(values));
        const asStored = (): [string, Tensor][] | undefined => blocks && weightOfBlocks(spec, format, blocks());
        // Those of a base to train on are fed at each step: they stay.
        const readNow = BASE_FORMATS.includes(format) ? undefined : source.readNow;
        const tensors = readNow
          ? madeWhenAsked(quantizedParts(spec, format), () => asStored() ?? quantize(readNow(stored)))
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

/** Tensors whose numbers are made when they are asked for and nobody has them: what was laid out elsewhere is not kept here. */
function madeWhenAsked(
  parts: readonly [string, Pick<Tensor, "dtype" | "shape">][],
  make: () => [string, Tensor][],
): [string, Tensor][] {
  let known: WeakRef<TensorData>[] = [];
  return parts.map(([name, like], i) => {
    const tensor: Tensor = {
      ...like,
      get data() {
        const there = known[i]?.deref();
        if (there) return there;
        const made = make().map(([, { data }]) => data);
        known = made.map((data) => new WeakRef(data));
        return made[i]!;
      },
    };
    return [name, tensor];
  });
}

/** What else models call the table of words: output layers that share it, and the embeddings of an encoder-decoder's stacks. */
const TIED_TO_WORDS =
  /(^|\.)(decoder|vocab_projector|lm_head|generator_lm_head|(encoder|decoder)\.embed_tokens)\.weight$/;

/** What a checkpoint calls a weight. */
function storedName({ name, shape }: WeightSpec, source: TensorSource, prefix: string): string | undefined {
  // Old checkpoints call a normalisation's weight and bias gamma and beta.
  const old = name.replace(/LayerNorm\.weight$/, "LayerNorm.gamma").replace(/LayerNorm\.bias$/, "LayerNorm.beta");
  const names = [name, old].flatMap((each) => [`${prefix}.${each}`, each]);
  const stored = names.find((each) => source.tensors.has(each));
  if (stored !== undefined) return stored;
  // Of weights that are one in memory a checkpoint may keep one; safetensors files may say which.
  const kept = names.map((each) => source.metadata?.[each]).find((each) => each && source.tensors.has(each));
  if (kept !== undefined || !/((word|tok)_embeddings|^embed_tokens|^wte|^shared)\.weight$/.test(name)) return kept;
  return [...source.tensors].find(
    ([each, info]) => TIED_TO_WORDS.test(each) && info.shape.join() === shape.join(),
  )?.[0];
}
