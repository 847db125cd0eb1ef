import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { METHODS } from "../../src/methods/methods.ts";
import { hasCheckpoint } from "../../src/runs/checkpoint-folder.ts";
import { fineTune } from "../../src/runs/fine-tune.ts";
import { readFinishedRun } from "../../src/runs/read-run.ts";
import { type Runner, runComparison } from "../../src/studies/compare.ts";
import type { LabelledRun } from "../../src/studies/compared-data.ts";
import { type ComparisonOptions, nextPlace, planComparison, type TrialScore } from "../../src/studies/plan.ts";
import { GLUE_TASKS } from "../../src/tasks/glue.ts";
import { TASK_KINDS } from "../../src/tasks/task-kinds.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let folder: string;
let options: Record<string, unknown>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-compare-"));
  const model = await writeTinyModel(join(folder, "model"));
  const train = await writeCsv(join(folder, "tickets.csv"), tickets());
  options = { model, train, text: "message", label: "team", epochs: 2, batchSize: 16, threads: 1 };
  await writeGlue();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** RTE and CoLA in GLUE's layout, made of the tickets. */
async function writeGlue(): Promise<void> {
  const rows = tickets();
  const label = (team: string, names: string[]) => names[Number(team === "bug")]!;
  const files: Record<string, string[]> = {
    RTE: [
      "index\tsentence1\tsentence2\tlabel",
      ...rows.map(
        ({ message, team }, i) => `${i}\t${message}\t${team}\t${label(team, ["entailment", "not_entailment"])}`,
      ),
    ],
    CoLA: rows.map(({ message, team }) => `made\t${label(team, ["0", "1"])}\t\t${message}`),
  };
  for (const [task, lines] of Object.entries(files)) {
    await mkdir(join(folder, "glue", task), { recursive: true });
    for (const file of ["train.tsv", "dev.tsv"]) {
      await writeFile(join(folder, "glue", task, file), `${lines.join("\n")}\n`);
    }
  }
}

function comparison(more: Partial<ComparisonOptions> = {}): ComparisonOptions {
  const output = join(folder, `out-${Math.random().toString(36).slice(2)}`);
  return { methods: ["aflora", "lora"], tasks: [], seeds: [1], ranks: [4], output, options, ...more };
}

/** Runs in this process, which is quicker than a process each. */
const here: Runner = async (config, { resume }) => {
  await fineTune(config, { resume, overwrite: !resume });
  return "finished";
};

async function compare(given: ComparisonOptions, runner = here) {
  const lines: string[] = [];
  const outcome = await runComparison(await planComparison(given), given, runner, (line) => lines.push(line));
  return { ...outcome, lines };
}

describe("runs", () => {
  test("one folder for each method, rank, task and seed; finished ones are skipped, one that fails is reported", async () => {
    const given = comparison({
      tasks: ["RTE", "cola"],
      ranks: [2, 4],
      methods: ["lora", "head"],
      options: { ...options, train: undefined, text: undefined, label: undefined, data: join(folder, "glue") },
    });
    const failing: Runner = async (config, how) =>
      config.rank === 4 && config.task === "cola" ? { failed: "for a test" } : here(config, how);
    const first = await compare(given, failing);
    expect(first.runs.map(({ run }) => relative(given.output, run.directory).replaceAll(sep, "/"))).toEqual([
      "rte/lora-r2-s1",
      "rte/lora-r4-s1",
      "rte/head-s1",
      "cola/lora-r2-s1",
      "cola/head-s1",
    ]);
    expect(first.failed).toEqual([{ directory: join(given.output, "cola/lora-r4-s1"), reason: "for a test" }]);
    const written = await stat(join(given.output, "rte/lora-r2-s1/result.json"));
    const second = await compare(given);
    expect(second.runs).toHaveLength(6);
    expect(second.lines.filter((line) => line.includes("finished before"))).toHaveLength(5);
    expect((await stat(join(given.output, "rte/lora-r2-s1/result.json"))).mtimeMs).toBe(written.mtimeMs);
  });

  test("a run with other options in the folder is refused before anything runs", async () => {
    const given = comparison({ methods: ["lora"] });
    await compare(given);
    await expect(compare({ ...given, options: { ...options, learningRate: 0.5 } })).rejects.toThrow(
      /lora-r4-s1 holds a run with learningRate 0\.0004, not 0\.5; choose another --output/,
    );
    const saved = await compare({ ...given, options: { ...options, checkpointEvery: "10s" } });
    expect(saved.lines.filter((line) => line.includes("finished before"))).not.toEqual([]);
  });
});

describe("--search", () => {
  test("as many trials for every method, on a split of the training data; the best rate is the run's", async () => {
    const validation = await writeCsv(join(folder, "held.csv"), tickets(1));
    const given = comparison({ search: { trials: 3 }, options: { ...options, validation } });
    const { searches, runs } = await compare(given);
    const rates = [
      { recipe: 0.004, above: 0.013, further: 0.04, below: 0.0013 },
      { recipe: 0.0004, above: 0.0013, further: 0.004, below: 0.00013 },
    ];
    for (const [i, { recipe, above, further, below }] of rates.entries()) {
      const { trials } = searches[i]!;
      const [first, second] = trials;
      const gained = second!.score! - first!.score! || first!.loss! - second!.loss!;
      const third = gained > 0 ? further : below;
      expect(trials.map(({ learningRate }) => learningRate)).toEqual([recipe, above, third]);
    }
    for (const [i, { trials, chosen }] of searches.entries()) {
      expect(chosen!.score).toBe(Math.max(...trials.map(({ score }) => score!)));
      expect(runs[i]!.run.config.run.learningRate).toBe(chosen!.learningRate);
      for (const { directory } of trials) {
        const { config } = await readFinishedRun(directory);
        expect(config.run.validationSplit).toBe(0.2);
      }
    }
    expect(await readdir(join(given.output, "custom", "search"))).toHaveLength(6);
    expect((await readFinishedRun(runs[0]!.run.directory)).config.run.validationSplit).toBeUndefined();
  });

  test.each<[string, (place: number) => number | undefined, number[], ((place: number) => number)?, string?]>([
    ["both ways from the recipe's rate, where it is best", (place) => -Math.abs(place), [0, 1, -1, 2, -2]],
    ["on upwards, where higher is better", (place) => place, [0, 1, 2, 3]],
    ["on downwards, where lower is better", (place) => -place, [0, 1, -1, -2, -3]],
    ["from the first of equals", () => 0, [0, 1, -1, 2]],
    ["by the loss among equals", () => 0, [0, 1, 2, 3], (place) => 1 / (place + 9)],
    ["on upwards by errors that fall", (place) => -place, [0, 1, 2, 3], () => 1, "mean_squared_error"],
    ["below rates at which training fails", (place) => (place > -2 ? undefined : 0), [0, -1, -2, -3]],
  ])("goes %s", (_, scoreOf, places, lossOf = () => 1, metric = "accuracy") => {
    const scores = new Map<number, Partial<TrialScore>>();
    for (const place of places) {
      expect(nextPlace(scores)).toBe(place);
      const score = scoreOf(place);
      scores.set(place, score === undefined ? {} : { metric, score, loss: lossOf(place) });
    }
  });

  test("a finished run with another rate than the chosen one is reported, not taken for it", async () => {
    const validation = await writeCsv(join(folder, "held.csv"), tickets(1));
    const given = comparison({ methods: ["head"], search: { trials: 1 }, options: { ...options, validation } });
    const [{ run }] = (await compare(given)).runs as [LabelledRun];
    const file = join(run.directory, "config.json");
    const config = JSON.parse(await readFile(file, "utf8"));
    await writeFile(file, JSON.stringify({ ...config, learningRate: 0.5 }));
    const { runs, failed } = await compare(given);
    expect(runs).toEqual([]);
    expect(failed[0]!.reason).toMatch(/holds a run with learningRate 0\.5, not 0\.004; choose another --output/);
  });

  test("leaves the validation data of a GLUE task alone", async () => {
    const { model, threads, epochs } = options;
    const own = { model, threads, epochs, data: join(folder, "glue") };
    const given = comparison({ tasks: ["rte"], methods: ["head"], search: { trials: 1 }, options: own });
    let seen: number[] = [];
    await compare(given, async (config) => {
      await fineTune(config, {
        onStart: ({ task }) => {
          seen = [...seen, task.train.length, task.validation[0]!.examples.length];
        },
      });
      return "finished";
    });
    expect(seen).toEqual([36, 9, 45, 45]);
  });
});

describe("--preset paper", () => {
  test("every method of the paper's table has a source, and tasks that can be read, kinds of task, or none", () => {
    const published = METHODS.all.filter(({ name }) => name !== "head");
    expect(METHODS.all.filter((method) => method.published)).toEqual(published);
    for (const method of published) {
      const { source, tasks } = method.published!;
      expect(source).not.toBe("");
      const known = [...GLUE_TASKS.keys(), "gsm8k", ...TASK_KINDS.all.flatMap(({ publishedAs }) => publishedAs ?? [])];
      for (const task of Object.keys(tasks)) expect(known).toContain(task);
    }
  });

  test("each method's own setting, given options first; what is not published is said", async () => {
    const own = { model: options.model, data: join(folder, "glue"), epochs: 3 };
    const given = comparison({
      tasks: ["cola"],
      methods: ["aflora", "lora", "sora"],
      ranks: [],
      preset: "paper",
      options: own,
    });
    const { settings, notes } = await planComparison(given);
    expect(settings.map(({ config }) => [config.learningRate, config.headLearningRate, config.batchSize])).toEqual([
      [1e-2, 4e-2, 64],
      [4e-4, 4e-4, 32],
      [undefined, undefined, undefined],
    ]);
    expect(settings.every(({ config }) => config.head === "classifier" && config.epochs === 3)).toBe(true);
    expect(notes).toContain("sora on cola: no published setting; aflora's defaults are used");
    expect(notes.find((note) => note.startsWith("lora"))).toContain("arXiv 2106.09685");
  });
});

/** The command itself, in a process. */
function aflora(args: string[], onStderr?: (text: string, interrupt: () => void) => void) {
  const child = spawn(process.execPath, ["--import", "tsx", "src/cli/main.ts", ...args], {
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
    onStderr?.(stderr, () => child.kill("SIGINT"));
  });
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

const flags = (): string[] => [
  ...["--model", join(folder, "model"), "--train", join(folder, "tickets.csv"), "--text", "message"],
  ...["--label", "team", "--batch-size", "16", "--threads", "1"],
];

/** A test that Windows skips: it has no signals that a process could answer. */
const withSignals = test.skipIf(process.platform === "win32");

describe("aflora compare", () => {
  withSignals("Ctrl-C saves and stops; the same command goes on and writes table, JSON and report", async () => {
    const output = join(folder, "interrupted");
    const args = [
      "compare",
      "--methods",
      "lora,head",
      "--seeds",
      "1",
      "--output",
      output,
      ...flags(),
      "--epochs",
      "40",
    ];
    let asked = false;
    const first = await aflora(args, (text, interrupt) => {
      if (asked || !text.includes("epoch 2:")) return;
      asked = true;
      interrupt();
    });
    expect(first.code).toBe(130);
    expect(first.stderr).toContain("interrupted; the same command again goes on from here");
    expect(await hasCheckpoint(join(output, "custom/lora-s1"))).toBe(true);
    expect(existsSync(join(output, "custom/head-s1"))).toBe(false);

    const second = await aflora([...args, "--markdown"]);
    expect(second.stderr).toContain("going on after step");
    expect(second.code).toBe(0);
    expect(second.stdout.split("\n").slice(0, 2)).toEqual([
      "| method | tickets.csv accuracy | tickets.csv macro_f1 | average | trainable | s/step | peak memory | FLOPs, VeRA = 1 |",
      "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]);
    const json = JSON.parse(await readFile(join(output, "comparison.json"), "utf8"));
    expect(json.rows.map(({ method }: { method: string }) => method)).toEqual(["lora", "head"]);
    expect(json.runs).toHaveLength(2);
    expect(await readFile(join(output, "comparison.md"), "utf8")).toContain(second.stdout.trim());
    expect(await readFile(join(output, "report.html"), "utf8")).toContain("2 runs compared");
    expect(existsSync(join(output, "custom/head-s1/report.html"))).toBe(true);
  });

  test("a run that fails is reported, the others carry on, and the exit code is 1", async () => {
    const output = join(folder, "failing");
    // A folder that a run cannot be written to: there is a file of its name.
    await mkdir(join(output, "custom"), { recursive: true });
    await writeFile(join(output, "custom", "lora-s1"), "");
    const args = ["compare", "--methods", "lora,head", "--seeds", "1", "--output", output, ...flags(), "--epochs", "1"];
    const { code, stdout, stderr } = await aflora([...args, "--json"]);
    expect(code).toBe(1);
    expect(stderr).toContain(`failed: ${join(output, "custom", "lora-s1")}`);
    const { rows, failed } = JSON.parse(stdout);
    expect(rows.map(({ method }: { method: string }) => method)).toEqual(["head"]);
    expect(failed).toHaveLength(1);
  });
});

describe("a plan that cannot work is refused before anything is written", () => {
  test.each<[string, () => Partial<ComparisonOptions>, RegExp]>([
    ["unknown method", () => ({ methods: ["aflora", "lorra"] }), /unknown method "lorra".*lora/],
    ["rank above the layers", () => ({ methods: ["lora"], ranks: [4, 64] }), /rank 64 is more than layer/],
    ["no data", () => ({ tasks: ["rte"], options: { data: join(folder, "none") } }), /no such folder/],
    ["search with nothing apart to compare on", () => ({ search: { trials: 2 } }), /give --validation FILE/],
    [
      "search for a rate that is given",
      () => ({ search: { trials: 2 }, options: { ...options, learningRate: 1e-3 } }),
      /--search chooses learningRate itself/,
    ],
    ["no method", () => ({ methods: [] }), /name them with --methods/i],
  ])("%s", async (_, more, message) => {
    await expect(planComparison(comparison(more()))).rejects.toThrow(message);
  });
});

describe("bad input: one sentence, exit code 2, nothing written", () => {
  const config = () => ["--model", join(folder, "model")];
  test.each<[string, () => string[], RegExp]>([
    [
      "unknown method",
      () => ["params", ...config(), "--method", "afora"],
      /unknown method "afora".*did you mean.*aflora/i,
    ],
    [
      "pattern that matches nothing",
      () => ["params", ...config(), "--target-modules", "q_proj"],
      /"q_proj" matches no layer; block 0 has encoder\.layer\.0\.attention\.self\.query/,
    ],
    ["rank above the layer's size", () => ["params", ...config(), "--rank", "33"], /rank 33 is more than layer/],
    [
      "another method's option",
      () => ["params", ...config(), "--method", "lora", "--freeze-rule", "matrix-fraction"],
      /"freezeRule" belongs to aflora, not to method "lora"/,
    ],
    [
      "AdaLoRA without ranks to prune",
      () => ["params", ...config(), "--method", "adalora", "--rank", "4", "--initial-rank", "4"],
      /AdaLoRA: nothing can be pruned from rank 4 to 4/,
    ],
    ["no model", () => ["params", "--model", join(folder, "none")], /there is no model folder/],
    [
      "option that no compared method has",
      () => ["compare", "--methods", "lora,head", "--beta1", "0.5", ...flags()],
      /"beta1" belongs to aflora and adalora, not to the methods compared here \(lora, head\)/,
    ],
    [
      "AdaLoRA without time to prune",
      () => [
        "compare",
        "--methods",
        "adalora",
        "--epochs",
        "1",
        "--prune-initial",
        "2",
        "--prune-final",
        "2",
        ...flags(),
      ],
      /AdaLoRA: nothing can be pruned in 3 steps/,
    ],
    [
      "search and preset",
      () => ["compare", "--methods", "lora", "--search", "--preset", "paper", ...flags()],
      /give one of both/,
    ],
  ])("%s", async (_, args, message) => {
    const output = join(folder, "bad");
    const given = args();
    const { code, stderr } = await aflora(given[0] === "compare" ? [...given, "--output", output] : given);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(code).toBe(2);
    expect(existsSync(output)).toBe(false);
  });
});
