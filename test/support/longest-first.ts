import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The files that take longest, longest first: otherwise one of them would leave a core idle at the end. */
const LONGEST = [
  "faults.endurance",
  "pages-q-z",
  "pages-a-e",
  "readme",
  "pages-f-p",
  "examples",
  "init",
  "package",
  "queue.endurance",
];

/** Files in the order of {@link LONGEST}, then all others as vitest has them. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const found = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return found < 0 ? LONGEST.length : found;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}
