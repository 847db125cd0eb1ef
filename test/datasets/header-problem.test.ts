import { expect, test } from "vitest";
import { headerProblem } from "../../src/datasets/header-problem.ts";

test.each([
  [["text", "label"], undefined],
  [["my card is lost", "billing"], '"billing" is in the first line and 2 times below it'],
  [["my card was lost in a shop yesterday", "money"], "is as long as a text"],
  [["lost", "3"], '"3" is a number'],
  [["lost", "-1.5e-3"], '"-1.5e-3" is a number'],
  [["lost", "0x10"], undefined],
])("a header of %j", (columns, problem) => {
  const rows = ["billing", "bug", "billing"].map((label, line) => ({ line, cells: ["a text", label] }));
  const found = headerProblem({ source: "", columns, rows });
  if (problem === undefined) expect(found).toBeUndefined();
  else expect(found).toContain(problem);
});
