import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Projects of one call of vitest, those with the longest files first: none of these is left to one core at the end. */
const ORDER = ["endurance", "docs", "browser", "unit", "integration", "alone"];

/** Files in the order of {@link ORDER}, within a project as vitest has them. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ project }: TestSpecification): number => ORDER.indexOf(project.name);
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}
