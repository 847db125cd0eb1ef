import type { TensorSource } from "../checkpoints/tensor-source.ts";
import { UserError } from "../errors.ts";
import type { WeightSpec } from "./architecture.ts";
import type { ModelDescription } from "./families.ts";
import type { ModelTrace } from "./trace.ts";

/** A model's weights as a checkpoint has them. */
export interface ModelWeights {
  /** By name without the family's prefix. */
  weights: Map<string, Float32Array>;
  /** Weights of the head that the checkpoint lacks: they must be made new. */
  missing: WeightSpec[];
  /** Tensors of the checkpoint that the model has no use for. */
  unused: string[];
}

/**
 * Reads the weights that a model needs, with or without the family's prefix before their names.
 * @throws UserError where a backbone weight is missing or any has another shape than config.json says.
 */
export function readModelWeights(
  source: TensorSource,
  { architecture }: ModelDescription,
  trace: ModelTrace,
): ModelWeights {
  const weights = new Map<string, Float32Array>();
  const missing: WeightSpec[] = [];
  const unused = new Set(source.tensors.keys());
  for (const spec of trace.weights.values()) {
    const stored = storedNames(spec.name, architecture.prefix).find((name) => source.tensors.has(name));
    if (stored === undefined && spec.part === "head") {
      missing.push(spec);
    } else if (stored === undefined) {
      throw new UserError(`${source.location} has no tensor "${spec.name}", which its config.json calls for`);
    } else {
      const found = source.tensors.get(stored)!.shape;
      if (found.join() !== spec.shape.join()) {
        throw new UserError(
          `${source.location}: tensor "${stored}" is [${found.join(", ")}], but config.json calls for [${spec.shape.join(", ")}]`,
        );
      }
      unused.delete(stored);
      weights.set(spec.name, source.read(stored));
    }
  }
  return { weights, missing, unused: [...unused] };
}

/** Names that checkpoints use for a weight; old ones call a normalisation's weight and bias gamma and beta. */
function storedNames(name: string, prefix: string): string[] {
  const old = name.replace(/LayerNorm\.weight$/, "LayerNorm.gamma").replace(/LayerNorm\.bias$/, "LayerNorm.beta");
  return [...new Set([name, old])].flatMap((n) => [`${prefix}.${n}`, n]);
}
