import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BUNDLED_MODEL } from "../../src/base-models/bundled-model.ts";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { formatToAnswer } from "../../src/inference/answering-format-node.ts";
import type { FineTuning } from "../../src/preparation/fine-tuning.ts";
import { fitIntoMemory, float32TooLarge } from "../../src/preparation/memory-fit-node.ts";
import { prepareFromFiles } from "../../src/preparation/prepare-from-files-node.ts";
import { availableMemory } from "../../src/runtime/available-memory-node.ts";
import { cpu } from "../../src/runtime/devices/cpu.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { memoryInUse } from "../support/memory-in-use.ts";
import { runtime } from "../support/runtime.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
let model: string;
let make: (given?: Record<string, unknown>) => Promise<FineTuning>;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-memory-"));
  model = await writeTinyModel(join(home, "model"));
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  make = async (given) => {
    const options = {
      model,
      train,
      text: "message",
      label: "team",
      headStart: "new",
      epochs: 1,
      batchSize: 40,
      ...given,
    };
    const prepared = await prepareFromFiles(options);
    await prepared.release();
    return prepared.fineTuning;
  };
});
afterAll(() => rm(home, { recursive: true }));

const needed = ({ memory }: FineTuning): number => memory.optimizer + memory.activations;

describe("what training is expected to take", () => {
  test("grows with the tokens of a micro-batch, and AdamW's part with what trains", async () => {
    const [wide, narrow, full] = [
      await make({ tokenBudget: 400 }),
      await make({ tokenBudget: 50 }),
      await make({ method: "full" }),
    ];
    expect(wide.memory.activations).toBeGreaterThan(3 * narrow.memory.activations);
    expect(wide.memory.optimizer).toBe(narrow.memory.optimizer);
    // Two moments, gradients, two copies of nearly all weights.
    expect(full.memory.optimizer / full.memory.weights).toBeGreaterThan(4.5);
    expect(full.memory.optimizer / full.memory.weights).toBeLessThanOrEqual(5);
    expect(narrow.memory.optimizer).toBeLessThan(full.memory.optimizer / 2);
  });

  test("has the pass without gradients of a loss that couples a batch, where a task's rows ask for it", async () => {
    const rows = tickets().map(({ message }) => ({ query: message, passage: "refund money", negative: "order lost" }));
    const pairs = rows.flatMap(({ query, passage, negative }) => [
      { query, passage, label: 1 },
      { query, passage: negative, label: 0 },
    ]);
    const of = async (
      name: string,
      table: Record<string, string | number>[],
      batchSize: number,
      tokenBudget: number,
    ) => {
      const train = await writeCsv(join(home, name), table);
      const columns = { text: undefined, label: undefined };
      return (await make({ train, ...columns, kind: "reranker", batchSize, tokenBudget })).memory.activations;
    };
    // The same texts, a batch of them: lists go through the model in one run where that holds them, else twice.
    const ratio = async (tokenBudget: number) =>
      (await of("lists.csv", rows, 10, tokenBudget)) / (await of("pairs.csv", pairs, 20, tokenBudget));
    expect(await ratio(400)).toBeLessThan(1.05);
    expect(await ratio(40)).toBeGreaterThan(1.15);
  });

  test("has the outputs of all examples of an evaluation, of which thousands of classes make much", async () => {
    const of = async (count: number) => {
      const validation = await writeCsv(join(home, `held-${count}.csv`), Array(count).fill(tickets()[0]!));
      return (await make({ validation, batchSize: 5 })).memory.activations;
    };
    expect((await of(30)) - (await of(10))).toBe(20 * 3 * 4);
  });

  test("is near to what ONNX Runtime takes of a larger batch", async () => {
    // Of the bundled model's size, so that it stands out of what a process takes anyway.
    const fineTuning = await make({ model: undefined, batchSize: 64, tokenBudget: 1024 });
    const before = memoryInUse();
    let most = 0;
    for await (const _ of fineTuning.train(nodeRuntime({ threads: 2 }))) most = Math.max(most, memoryInUse());
    expect((most - before) / needed(fineTuning)).toBeGreaterThan(0.5);
    expect((most - before) / needed(fineTuning)).toBeLessThan(2);
  });
});

describe("a run that would not fit into memory", () => {
  test("gets smaller micro-batches and says so, and as large ones as it asked for where it fits", async () => {
    const fineTuning = await make({ tokenBudget: 400 });
    const whole = needed(fineTuning);
    expect(fitIntoMemory(fineTuning, cpu, 2 * whole).notes).toEqual([]);
    expect(fineTuning.tokenBudget).toBe(400);
    const { memory, notes } = fitIntoMemory(fineTuning, cpu, whole);
    expect(fineTuning.tokenBudget).toBe(200);
    expect(needed(fineTuning)).toBe(memory.optimizer + memory.activations);
    expect(notes).toEqual([
      expect.stringMatching(
        /^micro-batches are cut to 200 tokens, because those of 400 are not expected to fit into the \d+ MB of free memory$/,
      ),
    ]);
  });

  test("is told where not even one text fits", async () => {
    const fineTuning = await make();
    const { notes } = fitIntoMemory(fineTuning, cpu, 1000);
    // The longest text.
    expect(fineTuning.tokenBudget).toBeLessThan(12);
    expect(notes[1]).toMatch(
      /^one text of \d+ tokens is expected to take \d+ MB more memory, but 0 MB is free: the system may end the run; lower option "maxLength" or choose a smaller model$/,
    );
  });

  test("trains with them to the same numbers, but for their last bits", async () => {
    const losses: number[][] = [];
    for (const available of [Number.POSITIVE_INFINITY, 1000]) {
      const fineTuning = await make();
      fitIntoMemory(fineTuning, cpu, available);
      const found: number[] = [];
      for await (const event of fineTuning.train(runtime)) {
        if (event.kind === "step") found.push(event.loss);
      }
      losses.push(found);
    }
    losses[0]!.forEach((loss, step) => {
      expect(losses[1]![step]).toBeCloseTo(loss, 5);
    });
  });

  test("knows how much memory there is", () => {
    expect(availableMemory()).toBeGreaterThan(0);
    expect(availableMemory()).toBeLessThan(totalmem());
  });
});

test("a base in fewer bits is not read in float32 too, where that would not fit, and it is said", async () => {
  const base = { ...(await loadBaseModel(BUNDLED_MODEL, undefined, 1)), format: "int4" as const };
  expect(float32TooLarge(base)).toBeUndefined();
  expect(float32TooLarge(base, 91e6)).toBeUndefined();
  expect(float32TooLarge(base, 90e6)).toBe(
    "the base model takes 91 MB in float32, but 90 MB of memory is free: the adapter was scored only on its int4 base",
  );
});

test.each([
  ["float32 where that fits", "int4", 2, "float32"],
  ["as in training where not", "int4", 0.5, "int4"],
  ["8 bits where nobody knows of training", undefined, 0.5, "int8"],
] as const)("a base that answers is in %s", async (_, trained, share, format) => {
  // Numbers in float32, but for a header.
  const { size } = await stat(join(model, "model.safetensors"));
  const base = await loadBaseModel(model, undefined, 1, {
    format: formatToAnswer({ trained, available: share * size }),
  });
  expect(base.format).toBe(format);
  expect(base.quantized.size > 0).toBe(format !== "float32");
});

test.each([
  ["float32 where that fits", { writes: true, available: 21 }, "q4_1", "float32"],
  ["its file's own format where not", { writes: true, available: 20 }, "q4_1", "q4_1"],
  ["its file's own 4 bits where they are laid out", { writes: true, packs: true, available: 21 }, "q4_1", "q4_1"],
  ["float32, if its file has 8 bits", { writes: true, packs: true, available: 21 }, "q8_0", "float32"],
  ["float32, if it writes nothing", { packs: true, available: 21 }, "q4_1", "float32"],
  ["that of training, if it writes nothing", { writes: false, available: 20 }, "q4_1", "int4"],
] as const)("a base from a GGUF file is in %s", (_, asked, format, expected) => {
  expect(formatToAnswer({ trained: "int4", ...asked })({ float32Bytes: 20, format })).toBe(expected);
});
