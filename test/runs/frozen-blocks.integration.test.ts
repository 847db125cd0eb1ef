import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { HIDDEN_STATES } from "../../src/runs/run-folder.ts";
import { type FineTuneOptions, fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { rewritings, writeTinyEncoderDecoder } from "../support/synthetic-rewriting.ts";
import { chats, writeJsonl, writeTinyLanguageModel } from "../support/tiny-language-model.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
let model: string;
let train: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-frozen-blocks-"));
  model = await writeTinyModel(join(home, "model"), 2);
  train = await writeCsv(join(home, "tickets.csv"), tickets());
});
afterAll(() => rm(home, { recursive: true }));

const BLOCKS = { freezeBlocks: "linear", freezeBlocksEarliest: "25%", freezeBlocksInterval: "4" };

function run(name: string, given: Record<string, unknown>, options: FineTuneOptions = {}) {
  const settings = {
    text: "message",
    label: "team",
    headStart: "new",
    epochs: 4,
    batchSize: 7,
    learningRate: 1e-2,
    threads: 1,
  };
  return fineTune({ model, train, ...settings, ...BLOCKS, output: join(home, name), ...given }, options);
}

const adapterOf = (directory: string) => readFile(join(directory, "adapter", "adapter.safetensors"));

test.each(["float32", "int8"])("a run whose block freezes says so in its records (%s base)", async (base) => {
  const { directory, result } = await run(`records-${base}`, { base, method: "lora" });
  const { steps, freezing, result: saved } = await readRunRecords(directory);
  const { blocks } = saved!;
  expect(blocks).toMatchObject({ frozenAtStep: [8, null], kept: { file: 0 } });
  expect(freezing.map(({ step, blocks }) => [step, blocks!.boundary])).toEqual([
    [4, 0],
    [8, 1],
  ]);
  expect(steps.map(({ frozenBlocks }) => frozenBlocks)).toEqual(steps.map(({ step }) => Number(step > 8)));
  expect(blocks!.flopsSaved).toBeGreaterThan(0.1 * result!.flops);
  expect(blocks!.activationsSaved).toBeGreaterThan(0);
  expect(blocks!.kept.memory).toBeGreaterThan(0);
  // What is evaluated is the whole model.
  const [evaluation] = await evaluateRun(directory, { threads: 1 });
  expect(evaluation!.metrics).toMatchObject(result!.float32Metrics ?? result!.metrics);
});

test("hidden states beyond memory are in a file during training, which is removed at the end, cut off or not", async () => {
  const given = { freezeBlocksMemory: 0, checkpointEvery: 3 };
  const { directory: whole, result } = await run("whole", given);
  expect(result!.blocks!.kept).toMatchObject({ memory: 0 });
  expect(result!.blocks!.kept.file).toBeGreaterThan(0);
  const abort = new AbortController();
  let size = 0;
  const { directory } = await run("cut", given, {
    signal: abort.signal,
    onEvent: on("step", async ({ step }) => {
      if (step !== 20) return;
      size = (await stat(join(home, "cut", HIDDEN_STATES))).size;
      abort.abort();
    }),
  });
  expect(size).toBeGreaterThan(0);
  for (const each of [whole, directory]) expect(existsSync(join(each, HIDDEN_STATES))).toBe(false);
  // More memory changes nothing that is trained, and operations that are repeated do not count.
  const resumed = await fineTune({ output: directory, freezeBlocksMemory: 10 }, { resume: true });
  expect(await adapterOf(directory)).toEqual(await adapterOf(whole));
  const { flops, blocks } = resumed.result!;
  const { flopsSaved, activationsSaved } = result!.blocks!;
  expect({ flops, ...blocks }).toMatchObject({ flops: result!.flops, flopsSaved, activationsSaved });
});

/** Pairs of tickets of one team, each with one of another: an objective that couples the batch, and three texts an example. */
const pairs = tickets(2).map(({ message: anchor, team }, i, all) => {
  const [own, others] = [true, false].map((same) => all.filter((each) => (each.team === team) === same));
  return { anchor, positive: own![(i + 1) % own!.length]!.message, negative: others![i % others!.length]!.message };
});

/** Data and model of each kind of run, beside the tickets. */
const KINDS = {
  embedding: async () => ({ rows: pairs, method: "lora", maxLength: 40 }),
  "language model": async () => ({
    rows: chats(24),
    method: "full",
    maxLength: 256,
    model: await writeTinyLanguageModel(join(home, "chat-model"), { num_hidden_layers: 2 }),
  }),
  bart: () => encoderDecoder("bart"),
  t5: () => encoderDecoder("t5"),
};

async function encoderDecoder(family: "bart" | "t5") {
  // One block of the decoder, which does not freeze, is enough.
  const model = await writeTinyEncoderDecoder(join(home, family), family, { decoder_layers: 1, num_decoder_layers: 1 });
  return { rows: rewritings(24, 1), method: "full", model };
}

test.each(Object.keys(KINDS) as (keyof typeof KINDS)[])(
  "%s: what is kept changes nothing, to the bit",
  async (kind) => {
    const { rows, ...settings } = await KINDS[kind]();
    const texts = join(home, `${kind}.jsonl`);
    await writeJsonl(texts, rows);
    const given = { train: texts, text: undefined, label: undefined, epochs: 2, learningRate: 1e-3, ...settings };
    const kept = await run(`${kind}-kept`, { ...given, freezeBlocksCache: "float32" });
    const again = await run(`${kind}-again`, { ...given, freezeBlocksCache: "none" });
    const { steps } = await readRunRecords(kept.directory);
    // Of an encoder-decoder the encoder's blocks alone may leave.
    expect(kept.result!.blocks!.frozenAtStep).toEqual([expect.any(Number), null]);
    expect(await adapterOf(again.directory)).toEqual(await adapterOf(kept.directory));
    expect(new Set(steps.map(({ loss }) => loss)).size).toBe(steps.length);
    const left = steps[0]!.trainable - steps.at(-1)!.trainable;
    // What a frozen block reads trains no more: the words, which are the output layer, too.
    if (kind === "language model") expect(left).toBeGreaterThan(512 * 32);
    expect(left).toBeGreaterThan(0);
  },
);

test("invalid options are refused before anything is written", async () => {
  const refusal = async (given: Record<string, unknown>) => {
    const error = await run("refused", given).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(UserError);
    expect(existsSync(join(home, "refused"))).toBe(false);
    return (error as Error).message;
  };
  expect(await refusal({ method: "sora" })).toMatch(/"sora" changes parameters of all blocks/);
  expect(await refusal({ freezeBlocks: "off" })).toMatch(/"freezeBlocksEarliest" requires option "freezeBlocks"/);
  expect(await refusal({ freezeBlocksMost: 3 })).toMatch(/"freezeBlocksMost" is 3, but the model has 2 blocks/);
});
