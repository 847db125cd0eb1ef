/** A process that keeps vitest loaded: for each message {changed, tests} it runs test files, and answers whether one failed. */
import { createVitest } from "vitest/node";

const vitest = await createVitest("test", {
  root: process.argv[2],
  watch: false,
  bail: 1,
  maxWorkers: 1,
  // A worker of its own for each file: none keeps a module that was changed since.
  isolate: true,
  reporters: [{}],
});
const specifications = await vitest.globTestSpecifications();
// What the tests are built from is not changed yet.
await vitest.initializeGlobalSetup(
  specifications.filter(({ project }) => ["unit", "integration", "alone"].includes(project.name)),
);

process.on("message", async ({ changed, tests }) => {
  vitest.invalidateFile(changed);
  const chosen = specifications.filter(({ moduleId }) => tests.includes(moduleId));
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(chosen);
  const failed = testModules.some((module) => tests.includes(module.moduleId) && !module.ok());
  process.send({ failed: failed || unhandledErrors.length > 0 });
});
process.send("ready");
