import { expect, test } from "vitest";
import { head } from "../../src/methods/head.ts";
import { lora } from "../../src/methods/lora.ts";
import type { MethodDefinition } from "../../src/methods/method.ts";
import { withDefaults } from "../../src/preparation/defaults.ts";
import { trainingOptions } from "../../src/preparation/training-options.ts";

test("a head that was fitted leaves its own method nothing to train, and a new head has to be trained", () => {
  const epochs = (method: MethodDefinition, headStart: "fitted" | "new") =>
    withDefaults(trainingOptions.parse({ headStart }), method).epochs;
  expect(epochs(head, "fitted")).toBe(0);
  expect(epochs(head, "new")).toBeGreaterThan(0);
  expect(epochs(lora, "fitted")).toBeGreaterThan(0);
});
