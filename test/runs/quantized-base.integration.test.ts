import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BASE_FORMATS } from "../../src/architectures/base-format.ts";
import { openAdapter } from "../../src/base-models/open-adapter-node.ts";
import { UserError } from "../../src/errors.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { exportRun } from "../../src/runs/export-run.ts";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { type FineTuneOptions, fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { chats, writeJsonl, writeTinyLanguageModel } from "../support/tiny-language-model.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
let model: string;
let train: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-quantized-"));
  model = await writeTinyModel(join(home, "model"));
  train = await writeCsv(join(home, "tickets.csv"), tickets());
});
afterAll(() => rm(home, { recursive: true }));

function run(name: string, given: Record<string, unknown>, options: FineTuneOptions = {}) {
  const columns = { text: "message", label: "team", headStart: "new" };
  const settings = { method: "aflora", ...columns, epochs: 4, batchSize: 7, learningRate: 1e-2, threads: 1 };
  return fineTune({ model, train, ...settings, output: join(home, name), ...given }, options);
}

/** Runs that several tests compare with are trained once. */
const trained = new Map<string, ReturnType<typeof run>>();
function once(name: string, given: Record<string, unknown>): ReturnType<typeof run> {
  const known = trained.get(name) ?? run(name, given);
  trained.set(name, known);
  return known;
}

const losses = async (directory: string) => (await readRunRecords(directory)).steps.map(({ loss }) => loss);
const adapterOf = (directory: string) => readFile(join(directory, "adapter", "adapter.safetensors"));

describe.each(BASE_FORMATS.filter((format) => format !== "float32"))("a run with an %s base", (base) => {
  test("trains, and is scored on the float32 base, which predictions use", async () => {
    const { directory, result } = await once(`${base}-aflora`, { base });
    const { directory: plain, result: float32 } = await once("float32", {});
    expect((await readRunRecords(directory)).config.run.base).toBe(base);
    expect([result!.base, float32!.base]).toEqual([base, "float32"]);
    expect(float32).not.toHaveProperty("float32Metrics");
    expect(result!.metrics.accuracy).toBeGreaterThan(0.5);
    const [evaluation] = await evaluateRun(directory, { threads: 1 });
    expect(evaluation!.metrics).toMatchObject(result!.float32Metrics!);
    const [own] = await evaluateRun(directory, { threads: 1, base });
    expect(own!.metrics).toMatchObject(result!.metrics);
    expect((await openAdapter(directory)).description.base).toBe(base);
    expect((await openAdapter(plain)).description.base).toBeUndefined();
    const [found, expected] = [await losses(directory), await losses(plain)];
    expect(found).not.toEqual(expected);
    found.forEach((loss, step) => {
      expect(Math.abs(loss / expected[step]! - 1), String(step)).toBeLessThan(0.1);
    });
  });

  test("freezes at most a check earlier or later than on float32, and continues without the frozen matrices", async () => {
    const given = { freezeInterval: 2, freezeInitial: "10%", freezeFinal: "30%" };
    const { directory, result } = await run(`${base}-freezes`, { base, ...given });
    const { result: float32 } = await once("freezes-float32", given);
    const expected = Object.entries(float32!.frozenAtStep);
    expect(Object.keys(result!.frozenAtStep)).toEqual(expected.map(([name]) => name));
    for (const [name, step] of expected) expect(Math.abs(result!.frozenAtStep[name]! - step!), name).toBeLessThan(3);
    const { steps } = await readRunRecords(directory);
    expect(steps.at(-1)!.trainable).toBeLessThan(steps[0]!.trainable);
  });

  test("that was cut off goes on to the same adapter, to the bit", async () => {
    const principalParts = { method: "lora", useDora: true, initLoraWeights: "pissa", epochs: 2 };
    const [name, method] = base === "int8" ? ["aflora", {}] : ["dora-of-principal-parts", principalParts];
    const { directory: whole } = await once(`${base}-${name}`, { base, ...method });
    const abort = new AbortController();
    const onEvent = on("step", ({ step }: { step: number }) => step === 8 && abort.abort());
    const options = { signal: abort.signal, onEvent } as FineTuneOptions;
    const { directory } = await run(`${base}-${name}-cut`, { base, ...method }, options);
    await fineTune({ output: directory }, { resume: true });
    expect(await losses(directory)).toEqual(await losses(whole));
    expect(await adapterOf(directory)).toEqual(await adapterOf(whole));
  });

  test("stores a language model's tied embeddings in 8 bits, close to float32", async () => {
    const chat = await writeTinyLanguageModel(join(home, "chat-model"));
    const texts = await writeJsonl(join(home, "chat.jsonl"), chats(24));
    const given = { model: chat, train: texts, text: undefined, label: undefined, method: "lora", epochs: 2 };
    const { directory, result } = await run(`${base}-chat`, { ...given, base });
    const { directory: plain } = await once("chat-float32", given);
    expect(result!.float32Metrics!.perplexity).toBeGreaterThan(1);
    const [found, expected] = [await losses(directory), await losses(plain)];
    expect(found).not.toEqual(expected);
    found.forEach((loss, step) => {
      expect(Math.abs(loss / expected[step]! - 1), String(step)).toBeLessThan(0.1);
    });
  });

  test("is refused for a method that trains the base itself, before anything is written", async () => {
    await expect(run(`${base}-full`, { base, method: "full" })).rejects.toThrow(
      new UserError(`method "full" trains the base model itself, which needs option "base" float32, not ${base}`),
    );
    expect(existsSync(join(home, `${base}-full`))).toBe(false);
  });
});

describe("a base whose file has only quantized weights", () => {
  const file = fileURLToPath(new URL("../fixtures/gguf/llama.gguf", import.meta.url));

  test.each(BASE_FORMATS)(
    "trains as %s, and an export notes that it is merged into quantized weights",
    async (base) => {
      const name = `gguf-${base}`;
      const { directory, result } = await run(name, {
        model: file,
        base,
        method: "lora",
        epochs: 1,
        learningRate: 1e-3,
      });
      expect(result!.base).toBe(base);
      const merged = await exportRun(
        directory,
        { format: "merged", output: join(home, `${name}-merged`) },
        { threads: 1 },
      );
      expect(merged.largestDifference).toBeLessThan(1e-4);
      expect(merged.notes).toEqual([
        `${file} has its weights only in Q8_0: the adapter is merged into these, converted back to float32`,
      ]);
    },
  );

  test("is the only one with a note", async () => {
    const { directory } = await run("plain", { epochs: 1 });
    const output = join(home, "plain-merged");
    expect((await exportRun(directory, { format: "merged", output }, { threads: 1 })).notes).toEqual([]);
  });
});
