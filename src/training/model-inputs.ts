import { float32, int32, type Tensor } from "../graph/tensor.ts";
import type { ModelDescription } from "../models/families.ts";
import type { Encoding } from "../tokenization/tokenizer.ts";

/**
 * Lays encodings out as a model's inputs, padded to the longest: ids `[sequence, batch]`, mask `[batch, sequence]`.
 * @param padTokenId fills the places after an example's end
 */
export function modelInputs(
  { architecture, config }: ModelDescription,
  encodings: readonly Encoding[],
  padTokenId: number,
): Record<string, Tensor> {
  const batch = encodings.length;
  const sequence = Math.max(...encodings.map(({ inputIds }) => inputIds.length));
  const inputIds = new Int32Array(sequence * batch).fill(padTokenId);
  const tokenTypeIds = new Int32Array(sequence * batch);
  const attentionMask = new Float32Array(batch * sequence);
  encodings.forEach((encoding, row) => {
    for (let position = 0; position < encoding.inputIds.length; position++) {
      inputIds[position * batch + row] = encoding.inputIds[position]!;
      tokenTypeIds[position * batch + row] = encoding.tokenTypeIds[position]!;
      attentionMask[row * sequence + position] = 1;
    }
  });
  return {
    inputIds: int32([sequence, batch], inputIds),
    tokenTypeIds: int32([sequence, batch], tokenTypeIds),
    attentionMask: float32([batch, sequence], attentionMask),
    ...architecture.lengthInputs?.(config, sequence),
  };
}
