/** A label with its probability. */
export interface LabelProbability {
  label: string;
  probability: number;
}

export function softmax(logits: Float32Array): Float32Array {
  const largest = logits[argmax(logits)]!;
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

export function sigmoid(logits: Float32Array): Float32Array {
  return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
}

export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

export function ranked(labels: readonly string[], probabilities: Float32Array): LabelProbability[] {
  return labels
    .map((label, i) => ({ label, probability: probabilities[i]! }))
    .sort((a, b) => b.probability - a.probability);
}

/** `billing 0.981, bug 0.644`, or `none`. */
export function lineOf(labels: readonly LabelProbability[]): string {
  return labels.map(({ label, probability }) => `${label} ${probability.toFixed(3)}`).join(", ") || "none";
}
