import type { EncodedExample } from "../tasks/task-kind.ts";

/** An odd number near 2³² over the golden ratio: its multiples lie far apart among 32-bit numbers. */
const APART = 0x9e3779b9;

/** The texts of examples one by one, as if each were an example; each draws dropout masks of its own. */
export function singleTexts<Example extends EncodedExample>(
  examples: readonly Example[],
): (Example | EncodedExample)[] {
  return examples.flatMap((example) => {
    if (!example.texts?.length) return [example];
    const { index, encoding, texts } = example;
    return [encoding, ...texts].map((each, i) => ({ index: (index + Math.imul(i, APART)) >>> 0, encoding: each }));
  });
}
