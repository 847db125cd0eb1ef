import { adaptedModel } from "../adapted-run.ts";
import type { RunEnding, Stage } from "./stage.ts";

/** Removes the parameters that depend on the base: they are computed again for each base that the adapter is loaded on. */
export const ownParameters: Stage<RunEnding> = {
  name: "own parameters",
  needs: ({ plan }) => adaptedModel(plan).adaptation.parameters.some(({ ofBase }) => ofBase),
  async run(ending) {
    const { plan, adapter } = ending;
    const { parameters: all } = adaptedModel(plan).adaptation;
    const ofBase = new Set(all.filter((each) => each.ofBase).map(({ name }) => name));
    const parameters = new Map([...adapter.parameters].filter(([name]) => !ofBase.has(name)));
    return { ...ending, adapter: { ...adapter, parameters } };
  },
};
