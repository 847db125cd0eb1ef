import type { EncodedExample, Targets } from "../../tasks/task-kind.ts";

/** An odd number near 2³² over the golden ratio: its multiples lie far apart among 32-bit numbers. */
const APART = 0x9e3779b9;

/**
 * The texts of examples one by one, as if each were an example, with the targets of its rows where there are some; each draws
 * dropout masks of its own.
 */
export function singleTexts<Example extends EncodedExample & Partial<Targets>>(
  examples: readonly Example[],
): (Example | (EncodedExample & Partial<Targets>))[] {
  return examples.flatMap((example) => {
    if (!example.texts?.length) return [example];
    const { index, encoding, decoder, rows, texts, targets } = example;
    let end = 0;
    return [{ encoding, decoder, rows }, ...texts].map((text, i) => {
      const start = end;
      end += text.rows?.length ?? 1;
      return {
        ...(text as EncodedExample),
        index: (index + Math.imul(i, APART)) >>> 0,
        ...(targets && { targets: rowsBetween(targets, start, end) }),
      };
    });
  });
}

/** Some rows of targets, over the same memory. */
function rowsBetween({ dtype, shape, data }: Targets["targets"], start: number, end: number): Targets["targets"] {
  const width = data.length / shape[0]!;
  const part = data.subarray(start * width, end * width);
  return { dtype, shape: [end - start, ...shape.slice(1)], data: part } as Targets["targets"];
}
