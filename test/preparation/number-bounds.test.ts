import { expect, test } from "vitest";
import { checkOptions, UserError } from "../../src/errors.ts";
import { generationOptions } from "../../src/inference/generation/generation-options.ts";
import { METHODS } from "../../src/methods/methods.ts";
import { trainingOptions } from "../../src/preparation/training-options.ts";
import { computeOptions } from "../../src/runtime/compute-options.ts";
import { SEARCH_ALGORITHMS } from "../../src/studies/search/algorithms.ts";
import { TASK_KINDS } from "../../src/tasks/task-kinds.ts";

/** Numbers by which memory or time grow, by the owner of their options. */
test.each([
  ["a run", trainingOptions, ["epochs", "maxSteps", "batchSize", "tokenBudget", "maxLength", "localSteps", "replicas"]],
  ["a machine", computeOptions, ["threads"]],
  ["answers", generationOptions, ["maxNewTokens", "numBeams"]],
  ["rewards", TASK_KINDS.find("reward-learning").options!, ["numGenerations", "maxNewTokens"]],
  ["a random search", SEARCH_ALGORITHMS.find("random").options!, ["trials"]],
] as const)("numbers of %s have an upper limit", (_, schema, names) => {
  for (const name of names) {
    const given = () => checkOptions(schema, { [name]: 1e15 });
    expect(given, name).toThrow(UserError);
    expect(given, name).toThrow(new RegExp(`option "${name}": it must be at most \\d+, not 1000000000000000`));
  }
});

test("alpha has an upper limit in every method that has one", () => {
  const scaled = METHODS.all.filter(({ options }) => "alpha" in options.shape);
  expect(scaled.length).toBeGreaterThan(2);
  for (const method of scaled) {
    expect(() => METHODS.parseOptions(method, { alpha: 1e300 })).toThrow(/option "alpha" of method .* at most 1000000/);
  }
});
