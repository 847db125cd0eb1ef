import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The files that take longest, longest first: otherwise one of them would leave a core idle at the end. */
const LONGEST = ["faults.endurance", "pages-q-z", "pages-a-e", "readme", "pages-f-p", "examples", "init", "package"];

/** Projects of one call of vitest, those with the longest files first. Files of one project stay together and share processes. */
const PROJECTS = ["endurance", "docs", "browser", "unit", "integration", "alone"];

/** Files in the order of {@link LONGEST}, then of {@link PROJECTS}, and within a project as vitest has them. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId, project }: TestSpecification): number => {
      const found = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return found < 0 ? LONGEST.length + PROJECTS.indexOf(project.name) : found;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}
