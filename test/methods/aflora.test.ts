import { expect, test } from "vitest";
import type { LinearModule } from "../../src/architectures/model-parts.ts";
import { aflora } from "../../src/methods/aflora.ts";
import { resolveDuration } from "../../src/methods/options.ts";

test("the published settings for GLUE freeze nothing in the first epoch", () => {
  const { gsm8k, summarization, xsum, ...glue } = aflora.published!.tasks;
  for (const [task, { epochs, freezeInitial }] of Object.entries(glue)) {
    const run = { totalSteps: 10 * epochs!, stepsPerEpoch: 10 };
    expect(resolveDuration(freezeInitial as string, run), task).toBe(10);
  }
});

test("a run that is too short for the freezing schedule has a note only if something freezes", () => {
  const module: LinearModule = { name: "layer", role: "ffn", block: 0, inFeatures: 6, outFeatures: 4 };
  const run = { totalSteps: 10, stepsPerEpoch: 10 };
  const noteWith = (ffnMatrices: string) => {
    const options = aflora.options.parse({ rank: 2, freezeInterval: 20, ffnMatrices });
    return aflora.schedule!(options, aflora.adapt(options, [module]), run).note;
  };
  expect(noteWith("adaptive")).toMatch(/too few for the freezing schedule/);
  expect(noteWith("frozen")).toBeUndefined();
});
