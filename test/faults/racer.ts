import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { pick, randomOf } from "./program.ts";
import type { Race, RaceEnd } from "./race-worker.ts";
import { contentOf, smallRun } from "./small-runs.ts";

const KINDS = ["fresh", "stale lock", "resume", "overwrite"] as const;

/** Sentences in which the process that comes second is told so. */
const REFUSED =
  /^(another process|process \d+) is writing the run in |already holds a run|has finished; nothing is left/;

/**
 * Lets two processes begin on one run folder at nearly the same time.
 * @returns what was done, as a line
 * @throws where two write at a time, none does, one is refused without a sentence, or the run differs in one bit.
 */
export async function raceRuns({ races, seed }: { races: number; seed: number }): Promise<string> {
  const random = randomOf(seed);
  const home = await mkdtemp(join(tmpdir(), "aflora-racer-"));
  const config = { ...(await smallRun(home, 8)), checkpointEvery: 5 };
  await fineTune({ ...config, output: join(home, "whole") });
  const whole = await contentOf(join(home, "whole"));
  const cut = await cutOff(config, join(home, "cut"));
  const workers = await Promise.all([0, 1].map(startWorker));
  const done = new Map<string, number>();
  try {
    for (let race = 0; race < races; race++) {
      const kind = pick(KINDS, random);
      const output = join(home, `race-${race}`);
      if (kind === "overwrite") await cp(join(home, "whole"), output, { recursive: true });
      if (kind === "stale lock" || kind === "resume") await cp(cut, output, { recursive: true });
      // As a process leaves it that was killed; in a container, of the very id that the next one has.
      const stale = pick([process.pid, workers[0]!.pid, 1, 4_000_000], random);
      if (kind === "stale lock") await writeFile(join(output, "run.lock"), `${stale}\n${hostname()}\n`);
      const resume = kind === "stale lock" || kind === "resume";
      const spread = pick([0, 2, 20], random);
      const ends = await Promise.all(
        workers.map((worker) =>
          ask(worker, {
            config: resume ? { output } : { ...config, output },
            options: { resume, overwrite: kind === "overwrite" },
            delay: spread * random(),
          }),
        ),
      );
      const where = `race ${race} (${kind}), seed ${seed}: ${JSON.stringify(ends)}`;
      const times = ends.flatMap((end) => ("wrote" in end ? [end.wrote] : [])).sort(([a], [b]) => a - b);
      assert(times.length > 0, where);
      // Two that overwrite may do so one after another.
      assert(times.length === 1 || (kind === "overwrite" && times[0]![1] <= times[1]![0]), where);
      for (const end of ends) assert("wrote" in end || ("refused" in end && REFUSED.test(end.refused)), where);
      assert.deepEqual(await contentOf(output), whole, where);
      done.set(kind, (done.get(kind) ?? 0) + 1);
      await rm(output, { recursive: true });
    }
  } finally {
    for (const worker of workers) worker.disconnect();
    await rm(home, { recursive: true });
  }
  const kinds = [...done].map(([kind, count]) => `${count} ${kind}`).join(", ");
  return `${races} races (${kinds}): one writer at a time, the other refused in a sentence, every run equal to the bit`;
}

/** A run that was cut off in its second epoch. */
async function cutOff(config: Record<string, unknown>, output: string): Promise<string> {
  const abort = new AbortController();
  await fineTune(
    { ...config, output },
    { signal: abort.signal, onEvent: on("step", ({ step }) => (step === 9 ? abort.abort() : undefined)) },
  );
  return output;
}

async function startWorker(): Promise<ChildProcess> {
  const worker = fork(fileURLToPath(new URL("race-worker.ts", import.meta.url)), { execArgv: ["--import", "tsx"] });
  await once(worker, "message");
  return worker;
}

async function ask(worker: ChildProcess, race: Race): Promise<RaceEnd> {
  const answer = once(worker, "message");
  worker.send(race);
  return (await answer)[0];
}
