import { unitVector } from "../../tasks/vectors.ts";
import type { FineTunedModel } from "../fine-tuned-model.ts";

/** Texts that go through the model together: enough to sort by length, few enough to show progress. */
const PART = 512;

export interface EmbedTextsOptions {
  dimensions?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?(done: number): void;
}

/** Yields vectors of texts part by part. @throws UserError like `FineTunedModel.embed`; the signal's reason */
export async function* embedStream(
  model: FineTunedModel,
  texts: AsyncIterable<string> | Iterable<string>,
  { dimensions, signal, onProgress }: EmbedTextsOptions = {},
): AsyncGenerator<{ texts: string[]; vectors: Float32Array[] }> {
  let [part, done]: [string[], number] = [[], 0];
  const embed = async () => {
    const before = done;
    const vectors = await model.embed(part, {
      ...(dimensions !== undefined && { dimensions }),
      ...(signal && { signal }),
      onDone: (finished) => onProgress?.(before + finished),
    });
    done += part.length;
    return { texts: part, vectors };
  };
  for await (const text of texts) {
    part.push(text);
    if (part.length < PART) continue;
    yield await embed();
    part = [];
  }
  // A reader of texts may end when it is aborted, instead of throwing.
  signal?.throwIfAborted();
  if (part.length > 0) yield await embed();
}

/** Vectors of all texts with norm 1, as searches require. */
export async function unitVectors(
  model: FineTunedModel,
  texts: readonly string[],
  options: EmbedTextsOptions = {},
): Promise<Float32Array[]> {
  const all: Float32Array[] = [];
  for await (const { vectors } of embedStream(model, texts, options)) {
    for (const vector of vectors) all.push(unitVector(vector));
  }
  return all;
}
