import type { EncodedExample, Targets } from "../../tasks/task-kind.ts";

/** Odd number near 2³² divided by the golden ratio: its multiples are far apart among 32-bit numbers. */
const INDEX_STEP = 0x9e3779b9;

/**
 * Splits examples into their texts, as if each text were an example. Each text gets the targets of its rows, if there are targets, and
 * its own dropout masks.
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
        index: (index + Math.imul(i, INDEX_STEP)) >>> 0,
        ...(targets && { targets: rowsBetween(targets, start, end) }),
      };
    });
  });
}

/** Some rows of targets, as a view of the same memory. */
function rowsBetween({ dtype, shape, data }: Targets["targets"], start: number, end: number): Targets["targets"] {
  const width = data.length / shape[0]!;
  const part = data.subarray(start * width, end * width);
  return { dtype, shape: [end - start, ...shape.slice(1)], data: part } as Targets["targets"];
}
