import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { loadGlueTask } from "../src/datasets/glue-node.ts";

test("the bundled part of SST-2 loads as GLUE's, and no dev sentence is trained on", async () => {
  const { train, validation } = await loadGlueTask("sst2", fileURLToPath(new URL("../assets/sst2", import.meta.url)));
  const counts = (examples: { label?: number }[]) =>
    [0, 1].map((label) => examples.filter((e) => e.label === label).length);
  expect(counts([...train])).toEqual([2152, 2348]);
  expect(validation.map(({ examples }) => counts([...examples]))).toEqual([[428, 444]]);
  const trained = new Set(train.map(({ text }) => text.trim()));
  expect(validation[0]!.examples.filter(({ text }) => trained.has(text.trim()))).toEqual([]);
});
