import { expect, test } from "vitest";
import { adalora } from "../../src/methods/adalora.ts";
import { restoreState, saveState } from "../../src/training/saved-state.ts";
import type { TrainingState } from "../../src/training/training-state.ts";
import { smallBert } from "../support/small-bert.ts";
import { smallRun } from "./small-run.ts";

test("a state is restored as it was saved, with its best parameters or without any", async () => {
  const { state } = await smallRun(await smallBert(1), adalora, { options: { rank: 2 }, settings: { epochs: 2 } });
  expect([...state.best!.parameters.keys()]).toEqual([...state.parameters.keys()]);
  const restored = (given: TrainingState) => {
    const { counters, tensors } = saveState(given);
    return restoreState(JSON.parse(JSON.stringify(counters)), tensors);
  };
  const { best, ...without } = state;
  for (const each of [state, without]) expect(restored(each)).toEqual(each);
  expect(restored({ ...state, step: -1 })).toBeUndefined();
});
