import { expect, test } from "vitest";
import type { LinearModule } from "../../src/architectures/model-parts.ts";
import { UserError } from "../../src/errors.ts";
import { checkRank } from "../../src/methods/options.ts";

test.each([
  [4, 6],
  [6, 4],
])("a layer with %i inputs and %i outputs takes a rank up to the smaller number", (inFeatures, outFeatures) => {
  const module: LinearModule = { name: "layer", role: "ffn", block: 0, inFeatures, outFeatures };
  expect(() => checkRank(4, module)).not.toThrow();
  expect(() => checkRank(5, module)).toThrow(UserError);
});
