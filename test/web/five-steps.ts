/** Five steps of AFLoRA, dropout on, and an evaluation: the same in Node and in a page. */
export const CONFIG = {
  // A fitted head leaves gradients so small that AdamW makes rounding as large as steps.
  headStart: "new",
  method: "aflora",
  text: "sentence",
  batchSize: 8,
  epochs: 1,
  maxLength: 128,
  learningRate: 4e-3,
  // From the first step on, so that five are enough to see the rate.
  warmupRatio: 0,
} as const;

/** Texts to predict for. */
export const TEXTS = ["a warm, funny and wise film", "two hours of noise"];

/** Of SST-2's rows, 40 to train on and 8 to evaluate on. */
export function tablesOf(tsv: string) {
  const [header, ...rows] = tsv.trim().split("\n");
  const table = (from: number, to: number) => ({
    name: "sst2.tsv",
    text: [header, ...rows.slice(from, to)].join("\n"),
  });
  return { train: table(0, 40), validation: table(40, 48) };
}
