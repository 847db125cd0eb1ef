import { appendFileSync } from "node:fs";
import type { Reporter, TestCase, TestModule } from "vitest/node";

/**
 * Says at the end of a run what this machine lacks: tests that were skipped, with their reason. Counts of all tests are
 * added as a line to the file that TEST_COUNTS names, and what failed as a line each, for scripts that run vitest more
 * than once.
 */
export default class SkippedReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const withState = (state: string) => tests.filter((test) => test.result().state === state);
    const reasons = withState("skipped").filter(isLacking).map(reasonOf);
    for (const reason of new Set(reasons)) {
      console.log(`skipped ${reasons.filter((each) => each === reason).length} of ${reason}`);
    }
    const failures = [
      ...withState("failed").map((test) => `${test.module.relativeModuleId} > ${test.fullName}: ${firstError(test)}`),
      ...modules
        .filter((module) => module.state() === "failed" && module.children.size === 0)
        .map((module) => `${module.relativeModuleId}: ${firstLine(module.errors()[0]?.message)}`),
    ];
    const counts = [withState("passed").length, failures.length, withState("skipped").length];
    const lines = [counts.join(" "), ...failures.map((failure) => `failed: ${failure}`)];
    if (process.env.TEST_COUNTS) appendFileSync(process.env.TEST_COUNTS, `${lines.join("\n")}\n`);
  }
}

const firstLine = (message = "no reason given"): string => message.split("\n", 1)[0] as string;

const firstError = (test: TestCase): string => firstLine(test.result().errors?.[0]?.message);

/** Not left out by `-t` on the command line. */
const isLacking = ({ project, options }: TestCase): boolean =>
  !project.config.testNamePattern || options.mode !== "skip";

/** What the test said when it left, else the nearest title that says what is missing, else the test's own. */
function reasonOf(test: TestCase): string {
  const file = test.module.relativeModuleId;
  const result = test.result();
  if (result.state === "skipped" && result.note) return `${file}: ${result.note}`;
  for (let group = test.parent; group.type === "suite"; group = group.parent) {
    if (/skipped|, at /.test(group.name)) return `${file}: ${group.name}`;
  }
  return `${file}: ${test.name}`;
}
