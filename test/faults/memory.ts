import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";
import { randomOf } from "./program.ts";

/** Bytes by which the memory at the end may exceed that after a quarter of the steps. */
const LEVEL = 8 * 2 ** 20;
/** Steps between two looks. */
const INTERVAL = 100;

/**
 * Trains so many steps on texts of 5 to 35 words, and looks at the memory as it is, with garbage that V8 has not collected.
 * @returns resident memory over the steps, and what of it V8 has, as a line
 * @throws where it keeps growing.
 */
export async function watchMemory({ steps, seed }: { steps: number; seed: number }): Promise<string> {
  const random = randomOf(seed);
  const home = await mkdtemp(join(tmpdir(), "aflora-memory-"));
  try {
    const model = await writeTinyModel(join(home, "model"));
    const rows = tickets(7).map(({ message, team }) => {
      return { message: Array.from({ length: 1 + Math.floor(7 * random()) }, () => message).join(" "), team };
    });
    const train = await writeCsv(join(home, "tickets.csv"), rows);
    const looks: NodeJS.MemoryUsage[] = [];
    const onEvent = on("step", ({ step }: { step: number }): void => {
      if (step % INTERVAL === 0) looks.push(process.memoryUsage());
    });
    // 95 training examples.
    const settings = { text: "message", label: "team", batchSize: 8, epochs: Math.ceil(steps / 12), threads: 1 };
    await fineTune({ model, train, ...settings, output: join(home, "run") }, { onEvent });
    const quarters = [1, 2, 3, 4].map((quarter) => looks[Math.ceil((quarter * looks.length) / 4) - 1]!);
    const told = (kind: "rss" | "heapTotal"): string =>
      quarters.map((look) => (look[kind] / 2 ** 20).toFixed(1)).join(", ");
    const line = `${told("rss")} MiB resident at the quarters, of it V8's heap ${told("heapTotal")}`;
    assert(quarters[3]!.rss - quarters[0]!.rss < LEVEL, `the memory grows: ${line}`);
    return `${steps} steps of varied lengths: ${line}; no collection was asked for`;
  } finally {
    await rm(home, { recursive: true });
  }
}
