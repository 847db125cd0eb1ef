import type { Tensor, Tensors } from "../../graph/tensor.ts";
import type { Adaptation } from "../../methods/method.ts";
import type { NamedLayer, PeftForm } from "../../methods/peft.ts";

/**
 * An adapter in the form of PEFT's LoRA, for methods whose layers are low-rank products; undefined for others. Ranks
 * and alphas that differ from the largest layer's are patterns.
 */
export function loraForm(
  { asLora, inputDropout = 0 }: Adaptation,
  named: readonly NamedLayer[],
  parameters: Tensors<"float32">,
): PeftForm | undefined {
  if (!asLora) return undefined;
  const folded = named.map(({ module, moduleName }) => ({ moduleName, ...asLora(module, parameters) }));
  const { rank: r, alpha } = folded.reduce((a, b) => (b.rank > a.rank ? b : a));
  const others = folded.filter((layer) => layer.rank !== r || layer.alpha !== alpha);
  const patternOf = (value: "rank" | "alpha") =>
    Object.fromEntries(others.map((layer) => [layer.moduleName, layer[value]]));
  const layers = new Map<string, Tensor<"float32">>();
  for (const { moduleName, A, B, magnitude } of folded) {
    layers.set(`${moduleName}.lora_A.weight`, A).set(`${moduleName}.lora_B.weight`, B);
    if (magnitude) layers.set(`${moduleName}.lora_magnitude_vector`, magnitude);
  }
  const config = {
    peft_type: "LORA",
    r,
    lora_alpha: alpha,
    lora_dropout: inputDropout,
    rank_pattern: patternOf("rank"),
    alpha_pattern: patternOf("alpha"),
    use_rslora: false,
    use_dora: folded.some(({ magnitude }) => magnitude !== undefined),
  };
  return { config, layers };
}
