import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { exportRun } from "../../src/runs/export-run.ts";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { rewritings, writeTinyEncoderDecoder } from "../support/synthetic-rewriting.ts";
import { writeJsonl } from "../support/tiny-language-model.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-published-"));
});
afterAll(() => rm(home, { recursive: true }));

test.each(["aflora", "lora"] as const)(
  "%s trains at a rank above its layers' size, and is exported whole",
  async (method) => {
    const output = join(home, method);
    const model = await writeTinyModel(join(home, `${method}-model`));
    const train = join(home, `${method}.csv`);
    await writeCsv(train, tickets());
    const config = { model, train, text: "message", label: "team", method, rank: 40, threads: 1, output } as const;
    await fineTune({ ...config, headStart: "new", epochs: 12, batchSize: 8, learningRate: 0.02, maxGradNorm: 1 });
    const { result, steps } = await readRunRecords(output);
    expect(result!.trainable.start).toBeGreaterThan(2 * 40 * (32 + 64));
    const meanOf = (some: readonly { loss: number }[]): number =>
      some.reduce((sum, { loss }) => sum + loss, 0) / some.length;
    expect(meanOf(steps.slice(-10))).toBeLessThan(0.85 * meanOf(steps.slice(0, 10)));
    for (const format of ["peft", "merged"] as const) {
      const { largestDifference } = await exportRun(output, { format, output: join(home, `${method}-${format}`) });
      expect(largestDifference).toBeLessThan(1e-4);
    }
  },
);

test("a classifier that trains alone may start fitted: its bias trains, too, and is saved", async () => {
  const output = join(home, "fitted");
  const train = join(home, "fitted.csv");
  await writeCsv(train, tickets());
  const given = { model: await writeTinyModel(join(home, "fitted-model")), train, text: "message", label: "team" };
  await fineTune({ ...given, method: "lora", head: "classifier", headStart: "fitted", epochs: 2, threads: 1, output });
  const { result } = await readRunRecords(output);
  const [tested] = await evaluateRun(output, { threads: 1 });
  expect(tested!.metrics).toMatchObject(result!.metrics);
  expect(result!.trainable.head).toBe(tested!.labels.length * (32 + 1));
});

test.each(["aflora", "lora"] as const)("%s summarizes by the preset for BART", async (method) => {
  const output = join(home, `${method}-summaries`);
  const given = { kind: "sequence-to-sequence", preset: "paper", method, threads: 1, output } as const;
  let told: readonly string[] = [];
  await fineTune(
    {
      ...given,
      model: await writeTinyEncoderDecoder(join(home, `${method}-bart`), "bart"),
      train: await writeJsonl(join(home, `${method}.jsonl`), rewritings(80, 1)),
      epochs: 2,
    },
    {
      onEvent: on("start", ({ notes }) => {
        told = notes;
      }),
    },
  );
  const { result, config } = await readRunRecords(output);
  expect(config.run).toMatchObject({ batchSize: 32, taskOptions: { maxTargetLength: 160, truncate: "end" } });
  const { count, of } = result!.frozen;
  expect(count).toBe(of);
  expect(of > 0).toBe(method === "aflora");
  expect(told).toContainEqual(expect.stringMatching(/^settings of /));
});
