import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { REPORTED, readReportedScores, reportedScoresOf } from "../../src/studies/reported-scores.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-reported-"));
});
afterAll(() => rm(folder, { recursive: true }));

const read = async (text: string) => {
  await writeFile(join(folder, REPORTED), text);
  return readReportedScores(folder);
};

test("scores are read without NaN", async () => {
  const scores = { metrics: { accuracy: 0.9 }, errors: { accuracy: 0.01 }, sameAnswer: { accuracy: 0.5 } };
  expect(await readReportedScores(folder)).toBeUndefined();
  expect(await read(JSON.stringify(scores))).toEqual(scores);
  expect(await read('{ "metrics": { "pearson": null, "spearmanr": 0.8 } }')).toEqual({ metrics: { spearmanr: 0.8 } });
  await expect(read('{ "metrics": { "accuracy": "0.9" } }')).rejects.toThrow("reported.json is damaged");
});

test("several splits have means, and no standard error", () => {
  const split = (accuracy: number, same: number) => ({
    split: "validation",
    examples: 10,
    labels: [],
    metrics: { accuracy },
    errors: { accuracy: 0.1 },
    beside: { "same answer for all": { accuracy: same } },
  });
  expect(reportedScoresOf([split(0.5, 0.25)])).toMatchObject({ errors: { accuracy: 0.1 } });
  expect(reportedScoresOf([split(0.5, 0.25), split(1, 0.75)])).toEqual({
    metrics: { accuracy: 0.75 },
    sameAnswer: { accuracy: 0.5 },
  });
});
