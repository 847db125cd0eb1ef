import fc from "fast-check";
import { size, text } from "./parts.ts";

/** What an option of a run may be, by its name or not. */
const option = fc.oneof(
  size,
  fc.string(),
  fc.boolean(),
  fc.constantFrom(null, "\u001b[2J", "../..", [], {}),
  fc.jsonValue(),
);
export const job = text(
  fc.record(
    {
      id: fc.oneof(
        { weight: 9, arbitrary: fc.constant("0123456789ab") },
        { weight: 1, arbitrary: fc.oneof(fc.string(), fc.constantFrom("../../../etc", "", "0123456789abc")) },
      ),
      label: fc.oneof(fc.string({ unit: "binary" }), fc.constant("\u001b]0;title\u0007rank 8")),
      identity: fc.record({ options: fc.dictionary(fc.string(), option), data: fc.string(), model: fc.string() }),
      config: fc
        .tuple(
          fc.record({
            train: fc.constantFrom("a.csv", "a.csv", "/dev/zero", ""),
            method: fc.constantFrom("lora", "lora", "aflora", "x"),
          }),
          fc.dictionary(
            fc.constantFrom("rank", "epochs", "batchSize", "seed", "alpha", "learningRate", "threads", "text", "x"),
            fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 64 }) }, { weight: 1, arbitrary: option }),
            { maxKeys: 3 },
          ),
        )
        .map(([own, more]) => ({ ...own, ...more })),
      stopAfter: size,
      reported: fc.oneof(
        { weight: 9, arbitrary: fc.constant({ ownSplits: true }) },
        { weight: 1, arbitrary: fc.jsonValue() },
      ),
    },
    { requiredKeys: ["id", "label", "identity", "config"] },
  ),
);
