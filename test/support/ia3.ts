import { z } from "zod";
import { mul } from "../../src/graph/ops.ts";
import { constant } from "../../src/methods/initializers.ts";
import type { MethodDefinition } from "../../src/methods/method.ts";
import { targetModules } from "../../src/methods/options.ts";
import { selectModules } from "../../src/methods/target-modules.ts";

const options = z.object({
  targetModules: targetModules.describe("attention layers whose outputs are scaled; key and value by default"),
});

/**
 * (IA)³ (Liu et al. 2022, arXiv 2205.05638): keys and values are scaled element by element, `k = l_k ∘ (W x)`, and so
 * is what the feed-forward network's second layer takes in, `y = W (l_ff ∘ x)`. The scales, 1 at the start, train.
 */
export const ia3: MethodDefinition<typeof options> = {
  name: "ia3",
  summary: "trained scales of keys, values and inner activations",
  recipe: { learningRate: 3e-3, headLearningRate: 3e-3 },
  options,

  adapt({ targetModules }, modules) {
    const attention = modules.filter(({ role }) => role === "attention");
    const scaledOutputs = selectModules(attention, targetModules ?? ["key", "value"]);
    const scaledInputs = modules.filter(
      ({ role, inFeatures, outFeatures }) => role === "ffn" && inFeatures > outFeatures,
    );
    const scale = (name: string, size: number) => ({
      name: `${name}.l`,
      shape: [size],
      initialize: constant(1),
      decays: false,
    });
    const parameters = [
      ...scaledOutputs.map(({ name, outFeatures }) => scale(name, outFeatures)),
      ...scaledInputs.map(({ name, inFeatures }) => scale(name, inFeatures)),
    ];
    return {
      modules: [...scaledOutputs, ...scaledInputs],
      parameters,
      trainable: new Set(parameters.map(({ name }) => name)),
      adapt(parameter, x, layer, { name, role }) {
        const scales = parameter(`${name}.l`);
        return role === "ffn" ? layer(mul(x, scales)) : mul(layer(x), scales);
      },
    };
  },
};
