import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { fineTune } from "../../src/runs/fine-tune.ts";
import { tickets, writeCsv, writeTinyModel } from "../tiny-model.ts";
import { randomOf } from "./program.ts";

/** Bytes by which the memory at the end may exceed that after a quarter of the steps. */
const LEVEL = 8 * 2 ** 20;
/** Steps between two looks. */
const INTERVAL = 100;

/**
 * Trains so many steps on texts of 5 to 35 words, and looks at the memory that is left when garbage is collected: what
 * nobody holds any more is collected when V8 finds it worth while, and grows until then.
 * @returns resident memory over the steps, as a line
 * @throws where it keeps growing.
 */
export async function watchMemory({ steps, seed }: { steps: number; seed: number }): Promise<string> {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  const random = randomOf(seed);
  const home = await mkdtemp(join(tmpdir(), "aflora-memory-"));
  try {
    const model = await writeTinyModel(join(home, "model"));
    const rows = tickets(7).map(({ message, team }) => {
      return { message: Array.from({ length: 1 + Math.floor(7 * random()) }, () => message).join(" "), team };
    });
    const train = await writeCsv(join(home, "tickets.csv"), rows);
    const resident: number[] = [];
    const onStep = ({ step }: { step: number }): void => {
      if (step % INTERVAL !== 0) return;
      collect();
      resident.push(process.memoryUsage.rss());
    };
    // 95 training examples.
    const settings = { text: "message", label: "team", batchSize: 8, epochs: Math.ceil(steps / 12), threads: 1 };
    await fineTune({ model, train, ...settings, output: join(home, "run") }, { onStep });
    const quarters = [1, 2, 3, 4].map((quarter) => resident[Math.ceil((quarter * resident.length) / 4) - 1]!);
    const told = quarters.map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(", ");
    assert(quarters[3]! - quarters[0]! < LEVEL, `the memory grows: ${told} MiB at the quarters`);
    return `${steps} steps of varied lengths: ${told} MiB resident at the quarters, garbage collected`;
  } finally {
    await rm(home, { recursive: true });
  }
}
