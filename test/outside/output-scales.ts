import { z } from "zod";
import { constant, type MethodDefinition, ops, selectSites } from "../../src/index.ts";

const options = z.object({
  targetModules: z.array(z.string()).optional().describe("layers whose outputs are scaled; all where absent"),
  settleAfter: z
    .number()
    .gt(0)
    .lte(1)
    .default(0.5)
    .describe("share of the steps after which attention's scales freeze"),
});

declare module "../../src/index.ts" {
  interface MethodOptions {
    "output-scales": z.input<typeof options>;
  }
}

/** What the schedule keeps. */
const saved = z.object({ settled: z.boolean() });

/** A made-up method: each output of a linear layer is scaled, `y = s ∘ (W x)`; attention's scales freeze half-way. */
export const outputScales: MethodDefinition<typeof options> = {
  name: "output-scales",
  summary: "trained scales of linear layers' outputs",
  recipe: { learningRate: 1e-2, headLearningRate: 1e-2 },
  options,

  adapt({ targetModules }, sites) {
    const scaled = selectSites(sites, targetModules);
    const nameOf = (site: { name: string }) => `${site.name}.s`;
    return {
      sites: scaled,
      parameters: scaled.map((site) => ({
        name: nameOf(site),
        shape: [site.outFeatures],
        initialize: constant(1),
        decays: false,
      })),
      trainable: new Set(scaled.map(nameOf)),
      freezable: scaled.filter(({ role }) => role === "attention").map(nameOf),
      adapt: (parameter, x, layer, site) => ops.mul(layer(x), parameter(nameOf(site))),
    };
  },

  schedule({ settleAfter }, { trainable, freezable = [] }, { totalSteps }, state) {
    let { settled } = state ? saved.parse(state.scalars) : { settled: false };
    const others = new Set([...trainable].filter((name) => !freezable.includes(name)));
    return {
      trainable: () => (settled ? others : trainable),
      observe(step) {
        if (settled || step + 1 < totalSteps * settleAfter) return undefined;
        settled = true;
        return { step, fraction: 1, threshold: null, scores: {}, frozen: [...freezable] };
      },
      state: () => ({ scalars: { settled }, tensors: new Map() }),
    };
  },
};
