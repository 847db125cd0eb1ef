import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { Aflora } from "../support/aflora.ts";
import { pick, randomOf } from "./program.ts";
import { contentOf, smallRun } from "./small-runs.ts";

const METHODS = ["aflora", "adalora", "lora", "sora"];

/** What a run says when its steps begin. */
const BEGUN = /^(epoch 0:|going on after)/m;

/** What it says when its last epoch ends. */
const TRAINED = /^epoch 30:/m;

/** Steps between two checkpoints. */
const INTERVALS = [1, 2, 5, 20];

/**
 * Ends real runs by SIGKILL at random moments, resumes them by what the folder knows, and compares each with the run of
 * its method that nobody disturbed.
 * @returns what was done, as a line
 * @throws where a run cannot be resumed, loses more than its interval, or differs in one bit.
 */
export async function killRuns({ kills, seed }: { kills: number; seed: number }): Promise<string> {
  const random = randomOf(seed);
  const home = await mkdtemp(join(tmpdir(), "aflora-killer-"));
  const small = await smallRun(home, 30);
  const aflora = (...args: string[]): Aflora => new Aflora(["train", ...args], home);
  const flags = Object.entries(small).flatMap(([name, value]) => [`--${kebab(name)}`, String(value)]);
  const whole = new Map<string, { content: object; milliseconds: number }>();
  const done = { kills: 0, runs: 0, lost: 0, beforeFirst: 0, evaluating: 0 };
  /** Kills by the kind of file that was half-written. */
  const writing = new Map<string, number>();
  try {
    while (done.kills < kills) {
      const [method, interval] = [pick(METHODS, random), pick(INTERVALS, random)];
      if (!whole.has(method)) {
        const running = aflora(...flags, "--method", method, "--output", `whole-${method}`);
        await running.says(BEGUN);
        const begun = performance.now();
        const { code, stderr } = await running.ended;
        if (code !== 0) throw new Error(stderr);
        const milliseconds = performance.now() - begun;
        whole.set(method, { content: await contentOf(join(home, `whole-${method}`)), milliseconds });
      }
      const { content, milliseconds } = whole.get(method)!;
      const output = join(home, `run-${done.runs++}`);
      const begin = [...flags, "--method", method, "--checkpoint-every", String(interval), "--output", output];
      while (!existsSync(join(output, "result.json"))) {
        const begun = existsSync(join(output, "config.json"));
        const before = await stepsOf(output);
        const running = begun ? aflora("--resume", output) : aflora(...begin);
        // Some while it starts, some at the very end, where the adapter and the result are written.
        const when = random();
        const begins =
          when < 0.1 ? Promise.resolve() : running.says(when < 0.8 ? BEGUN : TRAINED).catch(() => undefined);
        const moment = (when < 0.8 ? random() : 0.1 * random()) * milliseconds;
        const alive = begins.then(() => wait(moment, true));
        const killed = done.kills < kills && (await Promise.race([alive, running.ended.then(() => false)]));
        if (killed) running.process.kill("SIGKILL");
        const { code, stderr } = await running.ended;
        if (code !== null && !existsSync(join(output, "result.json"))) throw new Error(stderr);
        const from = /^resuming after step (\d+)$/m.exec(stderr)?.[1];
        if (from !== undefined) {
          const lost = before - Number(from);
          assert(lost <= interval, `${lost} steps were lost, with a checkpoint every ${interval}`);
          done.lost = Math.max(done.lost, lost);
        }
        if (!killed) continue;
        done.kills++;
        if (before === 0 && (await stepsOf(output)) === 0) done.beforeFirst++;
        const left = existsSync(output) ? await readdir(output, { recursive: true }) : [];
        const half = left.find((name) => name.endsWith(".tmp"));
        const kind = half?.replace(/[/\\].*/, "").replace(/\..*/, "");
        if (kind !== undefined) writing.set(kind, (writing.get(kind) ?? 0) + 1);
        if (await isEvaluating(output)) done.evaluating++;
      }
      assert.deepEqual(await contentOf(output), content, `${method} in ${output}, seed ${seed}`);
      // A run that has finished is refused, but cleared of what was left of its report.
      const { code, stderr } = await aflora("--resume", output).ended;
      assert.equal(code, 2, stderr);
      const left = await readdir(output, { recursive: true });
      assert.deepEqual(
        left.filter((name) => name.endsWith(".tmp")),
        [],
      );
      await rm(output, { recursive: true });
    }
  } finally {
    await rm(home, { recursive: true });
  }
  const files = [...writing].map(([kind, count]) => `${count} ${kind}`).join(", ");
  return `${done.kills} SIGKILLs in ${done.runs} runs, ${done.beforeFirst} before the first step, ${done.evaluating} in an evaluation, some while a file was being written (${files}): all ended equal to the bit; at most ${done.lost} steps lost at once`;
}

/** Whole step records of a run. */
async function stepsOf(directory: string): Promise<number> {
  const text = await readFile(join(directory, "metrics.jsonl"), "utf8").catch(() => "");
  return text.match(/^\{"kind":"step".*\}\n/gm)?.length ?? 0;
}

/** Whether an epoch's last step is the latest record. */
async function isEvaluating(directory: string): Promise<boolean> {
  const text = await readFile(join(directory, "metrics.jsonl"), "utf8").catch(() => "");
  const last = text.slice(0, text.lastIndexOf("\n")).split("\n").at(-1);
  return last !== undefined && /^\{"kind":"step","step":\d+,"epoch":\d+,/.test(last);
}

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
