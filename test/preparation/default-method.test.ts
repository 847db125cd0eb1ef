import { expect, test } from "vitest";
import { resolveFor } from "../../src/preparation/run-options-node.ts";
import { findTaskKind } from "../../src/tasks/task-kinds.ts";

const train = ["a short text", "another text"].map((text, index) => ({ index, text }));

/** Method of a run on examples of a kind, with a model of so many blocks. */
const methodOf = (kind: string, given: Readonly<Record<string, unknown>> = {}, layerCount = 6): string => {
  const task = { name: kind, kind, labels: ["no", "yes"], metrics: [], train, validation: [] };
  return resolveFor({ train: "rows.csv", ...given }, task, { config: { layerCount } }).method.name;
};

test.each(["classification", "multi-label", "regression", "token-classification"])(
  "%s fits a head, so that AFLoRA trains by default in up to six blocks",
  (kind) => {
    expect(methodOf(kind)).toBe("aflora");
    expect(methodOf(kind, {}, 12)).toBe("lora");
    expect(methodOf(kind, { headStart: "new" })).toBe("lora");
    expect(methodOf(kind, { head: "classifier" })).toBe("lora");
  },
);

test.each(["language-model", "embedding", "reranker", "image-classification"])("%s trains LoRA by default", (kind) => {
  expect(findTaskKind(kind).name).toBe(kind);
  expect(methodOf(kind)).toBe("lora");
});

test("an option that only one of the default methods has chooses that method", () => {
  expect(methodOf("language-model", { initProjections: "random" })).toBe("aflora");
  expect(methodOf("classification", { initLoraWeights: "pissa" })).toBe("lora");
  expect(methodOf("classification", { rank: 2 })).toBe("aflora");
  expect(methodOf("classification", { method: "vera" })).toBe("vera");
});

test("a published task has a new head, so that LoRA trains", () => {
  expect(methodOf("classification", { train: undefined, task: "cola", data: "glue" })).toBe("lora");
});

test("an option of another method is refused with the method's name", () => {
  expect(() => methodOf("classification", { sharing: "all" })).toThrow(/belongs to vera/);
});
