import type { FineTunedModel } from "../inference/fine-tuned-model.ts";
import { unitVectors } from "../inference/retrieval/embed-texts.ts";
import { dot, unitVector } from "../tasks/vectors.ts";
import type { NamedLabel } from "./named-labels.ts";

/** A label, and its similarity to a text. */
export interface LabelScore {
  label: string;
  /** Cosine of the text's vector with the label's, from -1 to 1. Not a probability. */
  score: number;
}

/**
 * Labels texts without training: a text gets the label whose name and descriptions are nearest to it, by the vectors of an
 * embedding model. Descriptions work better than names only.
 *
 * @param encoder an embedding model, such as from `loadEmbedder`
 * @returns all labels for each text, nearest first
 * @throws UserError if the model is no embedding model
 * @example
 * ```ts
 * const encoder = await loadEmbedder();
 * const [scores] = await classifyByLabels(encoder, ["billing", { name: "bug", descriptions: ["the app fails"] }], texts);
 * ```
 */
export async function classifyByLabels(
  encoder: FineTunedModel,
  labels: readonly (string | NamedLabel)[],
  texts: readonly string[],
  { onProgress }: { onProgress?: (done: number) => void } = {},
): Promise<LabelScore[][]> {
  const named = labels.map((label) => (typeof label === "string" ? { name: label, descriptions: [] } : label));
  const vectors = await labelVectors(encoder, named);
  const embedded = await unitVectors(encoder, texts, { ...(onProgress && { onProgress }) });
  return embedded.map((vector) =>
    named.map(({ name }, i) => ({ label: name, score: dot(vectors[i]!, vector) })).sort((a, b) => b.score - a.score),
  );
}

async function labelVectors(encoder: FineTunedModel, labels: readonly NamedLabel[]): Promise<Float32Array[]> {
  const sayings = labels.map(({ name, descriptions }) => {
    // Names of labels are often words joined by underscores, which texts do not have.
    const words = name.replaceAll("_", " ");
    return descriptions.length === 0 ? [words] : descriptions.map((description) => `${words}: ${description}`);
  });
  const all = await unitVectors(encoder, sayings.flat());
  let from = 0;
  return sayings.map(({ length }) => {
    const own = all.slice(from, from + length);
    from += length;
    return unitVector(own[0]!.map((_, i) => own.reduce((sum, vector) => sum + vector[i]!, 0)));
  });
}
