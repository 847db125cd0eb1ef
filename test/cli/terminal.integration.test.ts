import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { AFLORA } from "../support/aflora.ts";
import { fineTune } from "../support/fine-tune.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";
import { Screen } from "./screen.ts";

/** util-linux's `script` runs a program in a terminal of its own. */
const TERMINAL = process.platform === "linux" && existsSync("/usr/bin/script");

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-terminal-"));
  await writeTinyModel(join(home, "model"));
  await writeCsv(join(home, "tickets.csv"), tickets());
});
afterAll(() => rm(home, { recursive: true }));

/** A terminal of so many columns after a run. */
const shown = (columns: number, flags: string): Promise<Screen> =>
  shownOf(
    columns,
    `train --model model --train tickets.csv --text message --label team --head-start new --threads 1 ${flags}`,
  );

/** The same after any command. */
async function shownOf(columns: number, given: string): Promise<Screen> {
  const command = `stty cols ${columns} rows 50; ${AFLORA.join(" ")} ${given}`;
  const options = { cwd: home };
  const { stdout } = await promisify(execFile)("/usr/bin/script", ["-qec", command, "/dev/null"], options);
  return new Screen(columns).write(stdout);
}

describe.skipIf(!TERMINAL)(TERMINAL ? "on a terminal" : "skipped: no `script` to open a terminal with", () => {
  test.each([40, 100])(
    "of %i columns lines above the bar stay whole, and a map of the frozen matrices replaces their names",
    async (columns) => {
      const output = `run-${columns}`;
      const { lines } = await shown(
        columns,
        `--method aflora --batch-size 4 --epochs 3 --freeze-interval 3 --output ${output}`,
      );
      const { freezing, evaluations, result } = await readRunRecords(join(home, output));
      expect(lines.filter((line) => / froze /.test(line))).toEqual([]);
      const froze = freezing.flatMap(({ frozen }) => frozen).length;
      expect(froze).toBeGreaterThan(0);
      const of = Object.keys(freezing[0]!.scores).length;
      const legend = `frozen: ${froze} of ${of} matrices, ░ first, █ last; · still trains`.slice(0, columns - 1);
      expect(lines.filter((line) => line === legend)).toHaveLength(1);
      expect(
        lines.filter((line) =>
          /^epoch \d: accuracy [\d.]+ ± [\d.]+, macro_f1 [\d.]+ ± [\d.]+, loss [\d.]+$/.test(line),
        ),
      ).toHaveLength(4);
      // One bar, which shows the last score.
      const bars = lines.filter((line) => /^[█░]/.test(line));
      expect(bars).toHaveLength(1);
      expect(bars[0]!.length).toBeLessThan(columns);
      expect(bars[0]).toContain(` ${result!.steps}/${result!.steps} | loss `.slice(0, columns - 17));
      const score = evaluations.at(-1)!.metrics.accuracy!.toFixed(4);
      expect(lines[lines.indexOf(bars[0]!) + 1]).toMatch(new RegExp(`^accuracy ${score} \\| peak `));
    },
  );

  test("a single step is singular, and its learning rate 0 is noted before and after", async () => {
    const { rows } = await shown(120, "--batch-size 64 --epochs 1 --output one");
    expect(rows[0]).toBe("reading tickets.csv");
    expect(rows[1]).toBe("45 examples with 3 labels: 40 to train on, 5 held out");
    expect(rows[2]).toBe("lora on model, task custom: 40 training and 5 validation examples, 1 step");
    const shownLines = rows.join("");
    expect(shownLines).toContain(
      "nothing will train: the run has one step, and warm-up gives it learning rate 0; give more",
    );
    expect(shownLines).toMatch(
      /epoch 1: .*note: the validation loss did not move \(\S+ to \S+\), so nothing was learned/,
    );
  });

  test("evaluating, predicting for a file and exporting say what they read, and of short work no more", async () => {
    const columns = { text: "message", label: "team" };
    const given = {
      model: join(home, "model"),
      train: join(home, "tickets.csv"),
      ...columns,
      method: "lora",
      epochs: 1,
    };
    await fineTune({ ...given, headStart: "new", threads: 1, output: join(home, "asked") });
    const { rows: evaluated } = await shownOf(120, "evaluate --run asked --validation tickets.csv --threads 1");
    expect(evaluated.slice(0, 2)).toEqual(["reading asked", "tickets.csv: 45 examples"]);
    const { rows: predicted } = await shownOf(120, "predict --run asked --file tickets.csv --text message --threads 1");
    expect(predicted[0]).toBe("reading asked");
    expect(predicted[1]).toMatch(/^\w+ [\d.]+\s/);
    const { rows: exported } = await shownOf(120, "export --run asked --format merged --output merged --threads 1");
    expect(exported[0]).toBe("reading asked");
    expect(exported.filter((row) => /^(asking|writing|comparing) /.test(row))).toEqual([]);
  });
});
