import { z } from "zod";
import { constant, type MethodDefinition, ops, selectModules } from "../../src/extend.ts";

const options = z.object({
  targetModules: z.array(z.string()).optional().describe("layers whose outputs are scaled; all where absent"),
  freezeAfter: z
    .number()
    .gt(0)
    .lte(1)
    .default(0.5)
    .describe("share of the steps after which attention's scales freeze"),
});

declare module "../../src/extend.ts" {
  interface MethodOptions {
    "output-scales": z.input<typeof options>;
  }
}

/** What the schedule keeps. */
const saved = z.object({ frozen: z.boolean() });

/** A made-up method: each output of a linear layer is scaled, `y = s ∘ (W x)`; attention's scales freeze half-way. */
export const outputScales: MethodDefinition<typeof options> = {
  name: "output-scales",
  summary: "trained scales of linear layers' outputs",
  recipe: { learningRate: 1e-2, headLearningRate: 1e-2 },
  options,

  adapt({ targetModules }, modules) {
    const scaled = selectModules(modules, targetModules);
    const nameOf = (module: { name: string }) => `${module.name}.s`;
    return {
      modules: scaled,
      parameters: scaled.map((module) => ({
        name: nameOf(module),
        shape: [module.outFeatures],
        initialize: constant(1),
        decays: false,
      })),
      trainable: new Set(scaled.map(nameOf)),
      freezable: scaled.filter(({ role }) => role === "attention").map(nameOf),
      adapt: (parameter, x, layer, module) => ops.mul(layer(x), parameter(nameOf(module))),
    };
  },

  schedule({ freezeAfter }, { trainable, freezable = [] }, { totalSteps }, state) {
    let { frozen } = state ? saved.parse(state.scalars) : { frozen: false };
    const others = new Set([...trainable].filter((name) => !freezable.includes(name)));
    return {
      trainable: () => (frozen ? others : trainable),
      observe(step) {
        if (frozen || step + 1 < totalSteps * freezeAfter) return undefined;
        frozen = true;
        return { step, fraction: 1, threshold: null, scores: {}, frozen: [...freezable] };
      },
      state: () => ({ scalars: { frozen }, tensors: new Map() }),
    };
  },
};
