import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { METHODS } from "../../src/methods/methods.ts";
import { resolveConfig } from "../../src/preparation/run-options-node.ts";
import { studyMarkdown } from "../../src/reports/study-tables.ts";
import { hasCheckpoint } from "../../src/runs/checkpoint-folder.ts";
import { type ComparisonOptions, comparison } from "../../src/studies/compare.ts";
import { type HeldOutScore, heldOutScore, runStudy, type TrialRunner } from "../../src/studies/run-study.ts";
import { trialsOfStudy } from "../../src/studies/scored-trial.ts";
import { nextPlace } from "../../src/studies/search/learning-rates.ts";
import type { StudyOutcome } from "../../src/studies/study.ts";
import { parseStudy } from "../../src/studies/study-file.ts";
import { planStudy } from "../../src/studies/study-plan.ts";
import { studyResults, type TrialRow } from "../../src/studies/study-results.ts";
import { tune } from "../../src/studies/tune.ts";
import { GLUE_TASKS } from "../../src/tasks/glue.ts";
import { TASK_KINDS } from "../../src/tasks/task-kinds.ts";
import { Aflora, aflora, afloraHere, expectRefusal } from "../support/aflora.ts";
import { appearance } from "../support/appearance.ts";
import { pictureModel, savePicture } from "../support/pictures.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";
import { hereRunner } from "./here-runner.ts";

let folder: string;
let options: Record<string, unknown>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-compare-"));
  const model = await writeTinyModel(join(folder, "model"));
  const train = await writeCsv(join(folder, "tickets.csv"), tickets());
  const head = { headStart: "new" };
  options = { model, train, text: "message", label: "team", epochs: 2, batchSize: 16, threads: 1, ...head };
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

function given(more: Partial<ComparisonOptions> = {}): ComparisonOptions {
  return { methods: ["aflora", "lora"], seeds: [1], ranks: [4], options, ...more };
}

const own = () => ({ model: options.model, threads: 1, epochs: 2, data: join(folder, "glue") });

async function compare(
  of: ComparisonOptions,
  output = join(folder, `out-${Math.random().toString(36).slice(2)}`),
  runner: TrialRunner = hereRunner,
) {
  const plan = await planStudy(comparison(of));
  const ran: string[] = [];
  const outcome = await runStudy(plan, output, runner, {
    onTrial: ({ seed }, label) => ran.push(`${label}, seed ${seed}`),
  });
  const results = studyResults({ ...plan.study, notes: plan.notes }, trialsOfStudy(plan, outcome));
  return { plan, outcome, results, ran, output };
}

const compared = ({ trials }: StudyOutcome) => trials.filter(({ configuration }) => !configuration.stage);
const tried = ({ trials }: StudyOutcome) => trials.filter(({ configuration }) => configuration.stage);

describe("trials", () => {
  test("one per task, method, rank and seed; finished ones are kept, failed ones are marked", async () => {
    const of = given({ tasks: ["RTE", "cola"], ranks: [2, 4], methods: ["lora", "head"], options: own() });
    const failing: TrialRunner = async (job) =>
      job.config.rank === 4 && job.config.task === "cola" ? { failed: "for a test" } : hereRunner(job);
    const first = await compare(of, undefined, failing);
    const labels = [
      "rte, lora, rank 2",
      "rte, lora, rank 4",
      "rte, head",
      "cola, lora, rank 2",
      "cola, lora, rank 4",
      "cola, head",
    ];
    expect(first.ran).toEqual(labels.map((label) => `${label}, seed 1`));
    expect(first.outcome.trials.map(({ status }) => status)).toEqual([
      "finished",
      "finished",
      "finished",
      "finished",
      "failed",
      "finished",
    ]);
    const second = await compare(of, first.output);
    expect(second.ran).toEqual(["cola, lora, rank 4, seed 1"]);
    const { tasks, settings } = second.results;
    expect(tasks.map(({ task, reportedSeparately, metric }) => [task, reportedSeparately, metric])).toEqual([
      ["rte", false, "accuracy"],
      ["cola", false, "matthews_correlation"],
    ]);
    expect(settings.rows.map(({ setting }) => setting)).toEqual(["lora, rank 2", "lora, rank 4", "head"]);
    // On the data's own validation examples, and with all that trains.
    const { records } = second.outcome.trials[0]!;
    expect(records!.config.run.validationSplit).toBeUndefined();
    expect(tasks[0]!.rows[0]!.scores.accuracy!.mean).toBe(records!.result!.metrics.accuracy);
  });

  test("other options make other trials; options of computing do not", async () => {
    const first = await compare(given({ methods: ["lora"] }));
    expect(
      (await compare(given({ methods: ["lora"], options: { ...options, checkpointEvery: "10s" } }), first.output)).ran,
    ).toEqual([]);
    const other = await compare(given({ methods: ["lora"], options: { ...options, learningRate: 0.5 } }), first.output);
    expect(other.ran).toHaveLength(1);
  });

  test("a folder with other contents, or a study of another layout, is refused by name", async () => {
    const output = join(folder, "other-layout");
    await mkdir(join(output, "rte", "lora-s1"), { recursive: true });
    await expect(compare(given(), output)).rejects.toThrow(
      `${output} holds something other than a study, or a study of another layout; choose another option "output"`,
    );
    await mkdir(join(output, "trials"));
    await writeFile(join(output, "study.json"), JSON.stringify({ title: "no format" }));
    await expect(compare(given(), output)).rejects.toThrow(/or a study of another layout/);
  });
});

describe("a search for learning rates", () => {
  test("the same number for every method, on a part of the training examples; runs use the best", async () => {
    const validation = await writeCsv(join(folder, "held.csv"), tickets(1));
    const of = given({ trials: 3, seeds: [1, 2], options: { ...options, validation } });
    const { outcome, output, plan } = await compare(of);
    expect(plan.expected.map(({ trials }) => trials)).toEqual([6, 4]);
    const recipes = { aflora: [0.01, 0.032, 0.1, 0.0032], lora: [0.0004, 0.0013, 0.004, 0.00013] };
    for (const [method, [recipe, above, further, below]] of Object.entries(recipes)) {
      const trials = tried(outcome).filter(({ trial }) => trial.config.method === method);
      const scores = trials.map((trial) => heldOutScore(trial, {})!);
      const [first, second] = scores as [HeldOutScore, HeldOutScore];
      const gained = second.score - first.score || first.loss - second.loss;
      expect(trials.map(({ trial }) => trial.config.learningRate)).toEqual([
        recipe,
        above,
        gained > 0 ? further : below,
      ]);
      const best = trials.toSorted((a, b) => {
        const [x, y] = [a, b].map((each) => scores[trials.indexOf(each)]!);
        return y!.score - x!.score || x!.loss - y!.loss;
      })[0]!;
      const chosen = best.trial.config.learningRate;
      const runs = compared(outcome).filter(({ trial }) => trial.config.method === method);
      expect(runs.map(({ trial, status }) => [trial.config.learningRate, trial.seed, status])).toEqual([
        [chosen, 1, "finished"],
        [chosen, 2, "finished"],
      ]);
      expect(runs[0]!.configuration.found).toEqual({ learningRate: String(chosen) });
      for (const { records } of trials) expect(records!.config.run).toMatchObject({ seed: 1, validationSplit: 0.2 });
      for (const { records } of runs) expect(records!.config.run.validationSplit).toBeUndefined();
    }
    expect((await compare(of, output)).ran).toEqual([]);
    const markdown = studyMarkdown((await compare(of, output)).results);
    expect(markdown).toMatch(/\| chosen \|\n(.*\n)+?\| aflora, rank 4 .* learningRate 0\.\d+ \|/);
    expect(markdown).toContain("## Learning rates tried on a part of the training examples");
  });

  test.each<[string, number | undefined, number[]]>([
    ["both ways from the recipe's rate, where it is best", 0, [0, 1, -1, 2, -2]],
    ["on upwards, where higher is better", Number.POSITIVE_INFINITY, [0, 1, 2, 3]],
    ["on downwards, where lower is better", Number.NEGATIVE_INFINITY, [0, 1, -1, -2, -3]],
    ["below rates at which training fails", undefined, [0, -1, -2, -3]],
  ])("goes %s", (_, best, places) => {
    const clamp = (tried: number[]) =>
      best === undefined || tried.length === 0
        ? undefined
        : Math.min(Math.max(...tried), Math.max(Math.min(...tried), best));
    for (const [i, place] of places.entries()) {
      const before = places.slice(0, i);
      expect(nextPlace(before, clamp(before))).toBe(place);
    }
  });

  test("begins at the rate for pictures, not at that for texts, and so does tune", async () => {
    for (const [name, level] of Object.entries({ dark: 40, bright: 200 })) {
      for (let i = 0; i < 10; i++) {
        const data = Uint8Array.from({ length: 12 * 12 * 3 }, (_, at) => level + ((at * (i + 3)) % 40));
        await savePicture(join(folder, "photos", name, `${i}.png`), { height: 12, width: 12, data });
      }
    }
    const photos = {
      model: pictureModel("vit"),
      train: join(folder, "photos"),
      epochs: 2,
      threads: 1,
      headStart: "new",
    };
    const vary = { method: ["aflora", "lora"] };
    const plan = await planStudy(parseStudy({ options: photos, vary, search: "learning-rates", trials: 1 }, "rates"));
    const failing: TrialRunner = async () => ({ failed: "for a test" });
    const ofStudy = tried(await runStudy(plan, join(folder, "rates"), failing));
    expect(ofStudy.map(({ trial }) => trial.config.learningRate)).toEqual([0.001, 0.0004]);

    let begun = 0;
    const defaultsAlone: TrialRunner = async (job) => (++begun === 1 ? hereRunner(job) : { failed: "for a test" });
    const tuned = { options: { ...photos, method: "aflora" }, minutes: 100, output: join(folder, "tuned"), seed: 1 };
    const { outcome } = await tune(tuned, defaultsAlone, {});
    const rates = outcome.trials.flatMap(({ trial }) => (trial.config.learningRate as number | undefined) ?? []);
    expect(rates.length).toBeGreaterThan(10);
    // From half a decade below 1e-3 to one above; those around 1e-2 would reach 1e-1.
    expect(Math.min(...rates)).toBeGreaterThanOrEqual(0.0003);
    expect(Math.max(...rates)).toBeLessThanOrEqual(0.01);
  });

  test("leaves the validation data of a GLUE task alone", async () => {
    const { outcome } = await compare(given({ tasks: ["rte"], methods: ["head"], trials: 1, options: own() }));
    const counts = [...tried(outcome), ...compared(outcome)].map(({ records }) => {
      const { train, validation } = records!.dataFingerprint!.examples!;
      return [train, ...Object.values(validation)];
    });
    expect(counts).toEqual([
      [36, 9],
      [45, 45],
    ]);
  });

  test("if all trials of a method fail, the others are compared, and the failure is noted", async () => {
    const validation = await writeCsv(join(folder, "held.csv"), tickets(1));
    const of = given({ methods: ["lora", "head"], trials: 2, options: { ...options, validation } });
    const { outcome } = await compare(of, undefined, async (job) =>
      job.config.method === "lora" ? { failed: "for a test" } : hereRunner(job),
    );
    expect(tried(outcome).map(({ status }) => status)).toEqual(["failed", "finished", "failed", "finished"]);
    expect(compared(outcome).map(({ status, trial }) => [trial.config.method, status])).toEqual([
      ["lora", "open"],
      ["head", "finished"],
    ]);
  });
});

describe("--preset paper", () => {
  test("every method of the paper's table has a source, and tasks that can be read, kinds of task, or none", () => {
    const published = METHODS.all.filter(({ name }) => !["head", "lora-xs", "psoft"].includes(name));
    expect(METHODS.all.filter((method) => method.published)).toEqual(published);
    for (const method of published) {
      const { source, tasks } = method.published!;
      expect(source).not.toBe("");
      const known = [
        ...GLUE_TASKS.keys(),
        "gsm8k",
        "xsum",
        ...TASK_KINDS.all.map(({ huggingFace }) => huggingFace.pipeline),
      ];
      for (const task of Object.keys(tasks)) expect(known).toContain(task);
    }
  });

  test("each method's own setting, overridden by given options; a note names what is not published", async () => {
    const of = given({
      tasks: ["cola"],
      methods: ["aflora", "lora", "head"],
      ranks: [],
      options: { ...own(), epochs: 3, preset: "paper" },
    });
    const { configurations, notes } = await planStudy(comparison(of));
    const runs = configurations.map(({ trials }) => resolveConfig(trials[0]!.config).run);
    expect(
      runs.map(({ learningRate, headLearningRate, batchSize }) => [learningRate, headLearningRate, batchSize]),
    ).toEqual([
      [1e-2, 4e-2, 64],
      [4e-4, 4e-4, 32],
      [resolveConfig({ ...own(), task: "cola", method: "head" }).run.learningRate, expect.any(Number), 64],
    ]);
    expect(runs.every(({ head, epochs }) => head === "classifier" && epochs === 3)).toBe(true);
    expect(notes).toContain("head on cola: no published setting; aflora's defaults are used");
    expect(notes.find((note) => note.startsWith("lora"))).toContain("arXiv 2106.09685");
  });
});

const flags = (): string[] => [
  ...["--model", join(folder, "model"), "--train", join(folder, "tickets.csv"), "--text", "message"],
  ...["--label", "team", "--batch-size", "16", "--threads", "1", "--head-start", "new"],
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
    const trials = join(output, "trials");
    const running = new Aflora(args, folder);
    await running.says(/\[1\/2\] lora, seed 1/);
    const { configurations } = await planStudy(
      comparison(given({ methods: ["lora"], ranks: [], options: { ...options, epochs: 40 } })),
    );
    await appearance(join(trials, configurations[0]!.trials[0]!.id, "checkpoints"));
    running.process.kill("SIGINT");
    const first = await running.ended;
    expect(first.code).toBe(130);
    expect(first.stderr).toContain("interrupted; run the same command again to continue");
    const [begun, ...others] = await readdir(trials);
    expect(others).toEqual([]);
    expect(await hasCheckpoint(join(trials, begun!))).toBe(true);

    const second = await aflora([...args, "--markdown"], folder);
    expect(second.code).toBe(0);
    expect(second.stdout).toContain(
      "| setting | tickets.csv accuracy | tickets.csv macro_f1 | trainable | time | s/step | peak memory | FLOPs |\n",
    );
    const json = JSON.parse(await readFile(join(output, "study.json"), "utf8"));
    expect(json.settings.rows.map(({ setting }: { setting: string }) => setting)).toEqual(["lora", "head"]);
    expect(json.trials).toHaveLength(2);
    expect(await readFile(join(output, "study.md"), "utf8")).toBe(second.stdout);
    expect(await readFile(join(output, "report.html"), "utf8")).toContain("lora and head compared");
    expect(existsSync(join(trials, begun!, "report.html"))).toBe(true);
  });

  test("a trial that fails is reported, the others carry on, and the exit code is 1", async () => {
    const output = join(folder, "failing");
    const { configurations } = await planStudy(
      comparison(given({ methods: ["lora"], ranks: [], options: { ...options, epochs: 1 } })),
    );
    const { id } = configurations[0]!.trials[0]!;
    // A folder that a run cannot be written to: there is a file of its name.
    await mkdir(join(output, "trials"), { recursive: true });
    await writeFile(join(output, "trials", id), "");
    const args = ["compare", "--methods", "lora,head", "--seeds", "1", "--output", output, ...flags(), "--epochs", "1"];
    const { code, stdout, stderr } = await aflora([...args, "--json"], folder);
    expect(code).toBe(1);
    expect(stderr).toContain(`failed: ${join(output, "trials", id)}`);
    const { trials } = JSON.parse(stdout);
    expect(trials.map(({ setting, status }: TrialRow) => [setting, status])).toEqual([
      ["lora", "failed"],
      ["head", "finished"],
    ]);
  });
});

describe("a plan that cannot work is refused before anything is written", () => {
  test.each<[string, () => Partial<ComparisonOptions>, RegExp]>([
    ["unknown method", () => ({ methods: ["aflora", "lorra"] }), /unknown method "lorra".*lora/],
    ["rank above the layers", () => ({ methods: ["psoft"], ranks: [4, 64] }), /rank 64 exceeds that of layer/],
    ["no data", () => ({ tasks: ["rte"], options: { data: join(folder, "none") } }), /no such folder/],
    ["search with nothing apart to compare on", () => ({ trials: 2 }), /give option "validation" FILE/],
    [
      "search for a rate that is given",
      () => ({ trials: 2, options: { ...options, learningRate: 1e-3 } }),
      /chooses learningRate itself/,
    ],
    ["no method", () => ({ methods: [] }), /name them with option "methods"/i],
  ])("%s", async (_, more, message) => {
    await expect((async () => planStudy(comparison(given(more()))))()).rejects.toThrow(message);
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
    [
      "rank above the layer's size",
      () => ["params", ...config(), "--method", "psoft", "--rank", "33"],
      /rank 33 exceeds that of layer/,
    ],
    [
      "another method's option",
      () => ["params", ...config(), "--method", "lora", "--freeze-rule", "matrix-fraction"],
      /--freeze-rule belongs to aflora, not to method "lora"/,
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
      /--beta1 belongs to aflora and adalora, not to the methods here \(lora, head\)/,
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
      /leave one of them out/,
    ],
  ])("%s", async (_, args, message) => {
    const output = join(folder, "bad");
    const given = args();
    const asked = given[0] === "compare" ? [...given, "--output", output] : given;
    expectRefusal(await afloraHere(asked, folder), message);
    expect(existsSync(output)).toBe(false);
  });
});
