import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Aflora } from "../support/aflora.ts";
import { randomOf } from "./program.ts";
import { contentOf, smallRun } from "./small-runs.ts";

/** Blocks of 512 bytes of the largest file that a run writes, a checkpoint, and somewhat more. */
const BLOCKS = 400;

/**
 * Gives real runs no more room for a file than so much, as a disk that is full gives none, and lets them go on when there
 * is room again. Not on Windows, which has no such limit.
 * @returns what was done, as a line
 * @throws where one ends without a sentence, leaves a file half-written, or is not equal to the bit in the end.
 */
export async function fillDisk({ count, seed }: { count: number; seed: number }): Promise<string> {
  const random = randomOf(seed);
  const home = await mkdtemp(join(tmpdir(), "aflora-disk-"));
  const flags = Object.entries({ ...(await smallRun(home, 4)), checkpointEvery: 5 }).flatMap(([name, value]) => [
    `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    String(value),
  ]);
  const aflora = (args: string[], shell?: string) =>
    new Aflora(["train", ...args], home, shell === undefined ? {} : { shell }).ended;
  const done = { refused: 0, finished: 0 };
  try {
    assert.equal((await aflora([...flags, "--output", "whole"])).code, 0);
    const whole = await contentOf(join(home, "whole"));
    for (let i = 0; i < count; i++) {
      const output = join(home, `run-${i}`);
      const blocks = Math.floor(random() ** 2 * BLOCKS);
      const where = `run ${i} of seed ${seed}, ${blocks} blocks`;
      const { code, stderr } = await aflora([...flags, "--output", output], `trap '' XFSZ; ulimit -f ${blocks}`);
      if (code === 0) done.finished++;
      else {
        done.refused++;
        assert.equal(code, 2, `${where}: ${stderr}`);
        assert.match(stderr, /^error: cannot write .*: the file is larger than the system allows/m, where);
      }
      const left = existsSync(output) ? await readdir(output, { recursive: true }) : [];
      assert.deepEqual(
        left.filter((name) => name.endsWith(".tmp")),
        [],
        where,
      );
      if (!left.includes("result.json")) {
        const again = left.includes("config.json") ? ["--resume", output] : [...flags, "--output", output];
        const end = await aflora(again);
        assert.equal(end.code, 0, `${where}: ${end.stderr}`);
      }
      assert.deepEqual(await contentOf(output), whole, where);
      await rm(output, { recursive: true });
    }
  } finally {
    await rm(home, { recursive: true });
  }
  return `${count} runs on a full disk: ${done.refused} ended in a sentence and went on to the bit when there was room, ${done.finished} had room enough`;
}
