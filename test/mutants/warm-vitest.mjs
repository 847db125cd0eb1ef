/** A process that keeps vitest loaded: for each message {changed, tests} it runs test files, and answers what failed first, if anything. */
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

/** The file that was changed last, and is as it was again. */
let before;
process.on("message", async ({ changed, tests }) => {
  for (const file of [before, changed]) if (file) vitest.invalidateFile(file);
  before = changed;
  const chosen = specifications.filter(({ moduleId }) => tests.includes(moduleId));
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(chosen);
  const failed = testModules.find((module) => tests.includes(module.moduleId) && module.state() === "failed");
  const [test] = failed ? failed.children.allTests("failed") : [];
  process.send({
    by: failed
      ? `${failed.relativeModuleId} > ${test?.fullName ?? failed.errors()[0]?.message}`
      : unhandledErrors[0]?.message,
  });
});
process.send("ready");
