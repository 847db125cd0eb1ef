import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseHTML } from "linkedom";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { renderReport, writeReport } from "../../src/reports/report.ts";
import type { RunRecords } from "../../src/runs/read-run.ts";
import type { RunFindings } from "../../src/tasks/findings.ts";
import type { ScoresRecord } from "../../src/training/training-records.ts";
import { elementsOf, HOSTILE } from "../support/hostile-words.ts";
import { type MadeUp, makeUp, withFrozenBlocks, writeRun } from "../support/made-up-run.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-reports-"));
});
afterAll(() => rm(home, { recursive: true }));

const records = (of: MadeUp = {}): RunRecords => ({ directory: "runs/made-up", ...makeUp(of) });
const parsed = (runs: RunRecords[]) => parseHTML(renderReport(runs)).document;
const titles = (page: Document) => [...page.querySelectorAll("figure h2")].map((title) => title.textContent);
const figure = (page: Document, title: string) =>
  [...page.querySelectorAll("figure")].find((figure) => figure.querySelector("h2")!.textContent === title)!;
const cells = (row: Element) => [...row.children].map((cell) => cell.textContent);
const numbers = (of: Element) => [...of.querySelectorAll("tbody tr")].map(cells);

describe("of one run", () => {
  const FINDINGS = {
    examples: 20,
    sameAnswer: { accuracy: 0.5 },
    startsFitted: true,
    tables: [
      {
        title: "Most confused labels",
        columns: ["true label", "answer", "examples"],
        rows: [
          ["a", "b", 3],
          ["b", "a", 1],
        ],
        most: 1,
      },
      {
        title: "Predicted and true values",
        columns: ["text", "true"],
        rows: [["x", 1]],
        points: [
          [1, 2],
          [3, 3],
        ] as [number, number][],
      },
    ],
  };

  test("begins with how good the model is, beside what, and with its mistakes", () => {
    const run = records();
    const start = { ...run.evaluations[0]!, epoch: 0, step: 0, metrics: { accuracy: 0.7 } };
    const page = parsed([{ ...run, evaluations: [start, ...run.evaluations], findings: FINDINGS }]);
    const [scores, confused] = [...page.querySelectorAll("table")];
    expect(cells(scores!.querySelector("thead tr")!)).toEqual([
      "metric",
      "this model",
      "the head fitted to the untrained model",
      "the same answer for all",
    ]);
    expect(numbers(scores!)).toEqual([["accuracy", "0.864", "0.7", "0.5"]]);
    expect(confused!.querySelector("caption")!.textContent).toBe("Most confused labels: 1 of 2");
    expect(numbers(confused!)).toEqual([["a", "b", "3"]]);
    expect([...page.querySelectorAll(".answers caption")].at(-1)!.textContent).toBe("Predicted and true values");
    expect(titles(page)[0]).toBe("Predicted and true values");
    expect(figure(page, "Predicted and true values").querySelectorAll("circle")).toHaveLength(2);
  });

  test("says why an epoch was kept if another one seems better by a score", () => {
    const run = records();
    const { bestEpoch } = run.result!;
    const said = (change: (epoch: number, kept: boolean) => object) => {
      const evaluations = run.evaluations.map((each) => ({ ...each, ...change(each.epoch, each.epoch === bestEpoch) }));
      return parsed([{ ...run, evaluations }]).querySelector("h1 + p")!.textContent;
    };
    const scored = (accuracy: number, loss: number) => ({ metrics: { accuracy }, loss });
    expect(said((_, kept) => scored(kept ? 0.9 : 0.8, kept ? 0.1 : 0.2))).not.toContain("Note that");
    expect(said((epoch, kept) => scored(epoch === 1 ? 0.95 : kept ? 0.9 : 0.8, 0.1))).toContain(
      "epoch 1 had a better accuracy (0.95)",
    );
    expect(said((_, kept) => scored(kept ? 0.9 : 0.8, kept ? 0.3 : 0.2))).toContain(
      "the validation loss was lowest at epoch",
    );
  });

  test("shows each worker's part, if workers computed the steps", () => {
    const run = records();
    const table = (page: Document) =>
      [...page.querySelectorAll("table")].find((each) => each.querySelector("caption")?.textContent === "Workers");
    expect(table(parsed([run]))).toBeUndefined();
    const share = { shards: 1, computing: 0.25, bytes: 1e6 };
    const steps = [0, 1].map((i) => ({
      ...run.steps[i]!,
      seconds: 1,
      workers: [{ name: "a:1", ...share }, ...(i === 0 ? [{ name: "b:2", ...share, shards: 2, computing: 1 }] : [])],
    }));
    expect(numbers(table(parsed([{ ...run, steps }]))!)).toEqual([
      ["a:1", "2", "50 %", "75 %", "2.00 MB"],
      ["b:2", "2", "50 %", "0 %", "1.00 MB"],
    ]);
  });

  test("shows the paper's figure with one cell per matrix, and the same numbers as a table", () => {
    const run = records({ blocks: 12 });
    const heatMap = figure(parsed([run]), "Iterations until frozen");
    expect(heatMap.querySelectorAll('g[aria-label="cell"] rect')).toHaveLength(48);
    const at = run.result!.frozenAtStep;
    expect(numbers(heatMap)[0]).toEqual([
      "intermediate.A",
      ...Array.from({ length: 12 }, (_, block) => String(at[`encoder.layer.${block}.intermediate.dense.A`])),
    ]);
    expect(heatMap.querySelector("figcaption p")!.textContent).toContain(
      `encoder.layer.11.intermediate.dense.A last (step ${at["encoder.layer.11.intermediate.dense.A"]})`,
    );
  });

  test("has every picture, each with a summary, a name for screen readers and its numbers", () => {
    const page = parsed([records()]);
    expect(titles(page)).toEqual([
      "Loss",
      "Validation metrics",
      "Trainable parameters",
      "Seconds per step",
      "Iterations until frozen",
      "Freezing schedule r(t)",
      "Freezing scores and threshold",
    ]);
    for (const of of page.querySelectorAll("figure")) {
      const title = of.querySelector("h2")!.textContent;
      expect(of.querySelector("figcaption p")!.textContent!.length).toBeGreaterThan(20);
      expect(
        page.getElementById(of.querySelector('[role="img"]:has(svg)')!.getAttribute("aria-labelledby")!)!.textContent,
      ).toBe(title);
      expect(numbers(of).length, title!).toBeGreaterThan(0);
      expect(of.textContent).not.toMatch(/NaN|undefined|Infinity|null/);
    }
  });

  test("names the epoch with the lowest error", () => {
    const run = records({ metrics: ["mean_squared_error"] });
    const summary = figure(parsed([run]), "Validation metrics").querySelector("figcaption p")!.textContent!;
    expect(summary).toMatch(/^mean_squared_error was lowest, [\d.]+, after epoch 1 and/);
  });

  test("draws metrics of other scales separately", () => {
    const run = records({ metrics: ["accuracy", "perplexity"] });
    for (const { metrics } of run.evaluations) metrics.perplexity = 1000 * metrics.accuracy!;
    const page = parsed([run]);
    expect(titles(page).slice(1, 3)).toEqual(["Validation metrics", "Validation perplexity"]);
    const lines = (title: string) => figure(page, title).querySelectorAll('g[aria-label="line"] path').length;
    expect([lines("Validation metrics"), lines("Validation perplexity")]).toEqual([1, 1]);
  });

  test("draws evaluations within an epoch side by side", () => {
    const run = records();
    const within = run.evaluations.map((evaluation, i) => ({ ...evaluation, epoch: (i + 1) / 10 }));
    const dots = figure(parsed([{ ...run, evaluations: within }]), "Validation metrics").querySelectorAll("circle");
    expect(new Set([...dots].map((dot) => dot.getAttribute("cx"))).size).toBe(within.length);
  });

  test("draws one curve of scores per matrix, a dot when it froze, and the threshold in each band", () => {
    const scores = figure(parsed([records()]), "Freezing scores and threshold");
    const lines = [...scores.querySelectorAll('g[aria-label="line"]')];
    expect(lines.map((group) => group.querySelectorAll("path").length).reduce((a, b) => a + b)).toBe(24 + 4);
    expect(scores.querySelectorAll('g[aria-label="dot"] circle')).toHaveLength(24);
  });

  test("draws the boundary over time and the scores of blocks, and has whole blocks in the heat map", () => {
    const page = parsed([{ directory: "runs/made-up", ...withFrozenBlocks(makeUp()) }]);
    expect(titles(page).slice(-2)).toEqual(["Blocks frozen", "Scores of blocks"]);
    expect(numbers(figure(page, "Blocks frozen"))).toEqual(
      [80, 100, 120, 140, 160].map((step, i) => [String(step), "1", String(i + 1), "0.2"]),
    );
    const heatMap = numbers(figure(page, "Iterations until frozen"));
    expect(heatMap.at(-1)).toEqual(["whole block", "80", "100", "120", "140", "160", "not frozen"]);
    expect(heatMap.slice(0, -1)).toEqual(numbers(figure(parsed([records()]), "Iterations until frozen")));
    expect(numbers(figure(page, "Freezing schedule r(t)"))).toEqual(
      numbers(figure(parsed([records()]), "Freezing schedule r(t)")),
    );
    const facts = Object.fromEntries(numbers(page.querySelector(".facts")!));
    expect(facts).toMatchObject({ "blocks frozen": "5 of 6", "approximate time saved by frozen blocks": "none" });
    for (const of of page.querySelectorAll("figure")) expect(of.textContent).not.toMatch(/NaN|undefined|Infinity|null/);
  });

  test("has the encoder's whole blocks in an encoder-decoder's heat map", () => {
    const run = withFrozenBlocks(makeUp({ blocks: 2 }), 2);
    const ofDecoder = "decoder.layers.0.fc1.A";
    const freezing = run.freezing.map((check) =>
      check.blocks ? check : { ...check, scores: { ...check.scores, [ofDecoder]: 1e-9 } },
    );
    const heatMap = figure(parsed([{ directory: "runs/made-up", ...run, freezing }]), "Iterations until frozen");
    expect(cells(heatMap.querySelector("thead tr")!).slice(1)).toEqual(["block e0", "block e1", "block d0"]);
    expect(numbers(heatMap).at(-1)).toEqual(["whole block", "80", "not frozen", ""]);
  });

  test("shows no freezing if there is none", () => {
    const page = parsed([records({ method: "lora" })]);
    expect(titles(page)).toEqual(["Loss", "Validation metrics", "Seconds per step"]);
  });

  test("shows scores of embeddings before and after training, and the queries that gained and lost", () => {
    const run = records({ method: "lora" });
    const texts = Array.from({ length: 30 }, (_, i) => `query ${i}`);
    const scoresOf = (epoch: number, apart: number): ScoresRecord => ({
      kind: "scores",
      epoch,
      measure: "ndcg_at_10",
      relevant: texts.map((_, i) => 0.5 + apart + 0.01 * (i % 7)),
      others: texts.map((_, i) => 0.5 - apart + 0.01 * (i % 5)),
      values: texts.map((_, i) => (i === 3 && epoch > 0 ? 0.1 : 0.4 + (epoch > 0 ? i / 100 : 0))),
      texts: epoch === 0 ? texts : [],
    });
    run.scores.push(scoresOf(0, 0.05), scoresOf(3, 0.1), scoresOf(4, 0.2));
    const page = parsed([run]);
    expect(titles(page).slice(-2)).toEqual(["Scores, before training", "Scores, after epoch 4"]);
    const [before, after] = titles(page)
      .slice(-2)
      .map((title) => figure(page, title!).textContent!);
    expect(before).toMatch(/their means are 0\.10\d* apart/);
    expect(after).toMatch(/their means are 0\.40\d* apart/);
    const [gained, lost] = [...page.querySelectorAll(".facts table")];
    expect(gained!.querySelector("caption")!.textContent).toBe("Queries that gained most by training, in NDCG@10");
    expect(numbers(gained!)).toHaveLength(10);
    expect(numbers(gained!)[0]).toEqual(["query 29", "0.4", "0.69"]);
    expect(numbers(lost!)).toEqual([["query 3", "0.4", "0.1"]]);
    // Nothing to compare with yet.
    const { result: _, ...begun } = run;
    expect(titles(parsed([{ ...begun, scores: run.scores.slice(0, 1) }])).join()).not.toContain("Scores");
  });

  test("shows the records of a run that has just begun", () => {
    const { result: _, ...begun } = records();
    const nothing = { ...begun, steps: [], evaluations: [], freezing: [] };
    expect(titles(parsed([nothing]))).toEqual([]);
    const first = (steps: number, checks: number) =>
      parsed([{ ...nothing, steps: begun.steps.slice(0, steps), freezing: begun.freezing.slice(0, checks) }]);
    // One point is no curve, two checks are no course.
    expect(titles(first(1, 2))).toEqual([]);
    const page = first(2, 3);
    expect(titles(page)).toEqual([
      "Loss",
      "Seconds per step",
      "Iterations until frozen",
      "Freezing schedule r(t)",
      "Freezing scores and threshold",
    ]);
    expect(page.body.textContent).not.toMatch(/NaN|undefined|Infinity/);
    expect(figure(page, "Iterations until frozen").textContent).toContain("None of 24 matrices has frozen");
  });

  test("a matrix that never froze is marked", () => {
    const run = records();
    for (const check of run.freezing)
      check.frozen = check.frozen.filter((name) => name !== "encoder.layer.5.intermediate.dense.A");
    const heatMap = figure(parsed([run]), "Iterations until frozen");
    expect(heatMap.querySelectorAll('rect[fill="var(--never)"]')).toHaveLength(1);
    expect(heatMap.querySelector(".legend")!.textContent).toContain("not frozen");
  });

  test("stays small and shortens its tables, however long the run", () => {
    const run = records({ blocks: 24, steps: 20_000 });
    expect(renderReport([run]).length).toBeLessThan(600_000);
    expect(numbers(figure(parsed([run]), "Loss")).length).toBeLessThan(200);
  });

  test("asks nothing of the network and runs no script", () => {
    const page = parsed([records()]);
    expect(page.querySelectorAll("script, img, iframe, object, [onload], [src]")).toHaveLength(0);
    expect(page.querySelector('meta[http-equiv="Content-Security-Policy"]')!.getAttribute("content")).toBe(
      "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    );
  });

  test("escapes names, paths and options", () => {
    const evil = `</title></svg><script>alert(1)</script>"'><img src=x onerror=alert(1)>&amp;`;
    const run = records({ method: evil, task: evil, model: evil, metrics: [evil], options: { [evil]: evil } });
    const named = (name: string) => name.replace("encoder", evil).replace("dense", evil);
    for (const other of records().freezing) {
      const scores = Object.entries(other.scores).map(([name, score]) => [named(name), score]);
      run.freezing.push({ ...other, frozen: other.frozen.map(named), scores: Object.fromEntries(scores) });
    }
    for (const runs of [[{ ...run, directory: evil }], [run, { ...run, directory: evil }]]) {
      const html = renderReport(runs);
      expect(html).not.toMatch(/<script|<img/);
      const page = parseHTML(html).document;
      expect(page.querySelectorAll("script, img, [onerror]")).toHaveLength(0);
      expect(page.title).toBe(runs.length === 1 ? `${evil} on ${evil}` : "2 runs compared");
      expect(page.querySelector(".facts")!.textContent).toContain(evil);
    }
  });

  test.each(HOSTILE)("has the same elements and attributes, whatever labels, texts and notes say: %s", (evil) => {
    const told = (words: string): RunRecords => {
      const run = records();
      const pairs = { relevant: [0.9], others: [0.1], measure: "ndcg_at_10" as const, values: [0.5], texts: [words] };
      const scores = [0, 4].map((epoch): ScoresRecord => ({ kind: "scores", epoch, ...pairs }));
      const samples = [{ prompt: words, answer: words, reward: 1 }];
      const [table, points] = FINDINGS.tables as [object, object];
      const tables = [
        { ...table, title: words, columns: [words, words, "examples"], rows: [[words, words, 3]] },
        { ...points, title: words, columns: [words, "true"], rows: [[words, 1]] },
      ] as RunFindings["tables"];
      return {
        ...run,
        scores,
        evaluations: run.evaluations.map((each) => ({ ...each, samples })),
        findings: { ...FINDINGS, tables },
        result: { ...run.result!, notes: [words], bestEpoch: 4 },
      };
    };
    const html = renderReport([told(evil)]);
    expect(elementsOf(html)).toEqual(elementsOf(renderReport([told("a label")])));
    expect(parseHTML(html).document.querySelector(".answers")!.textContent).toContain(evil);
  });
});

describe("of several runs", () => {
  const seeds = (of: MadeUp) => [1, 2, 3].map((seed) => records({ ...of, seed }));

  test("compares cost to VeRA's, scores with their spread and the freezing pattern over seeds", () => {
    const runs = ["cola", "rte"].flatMap((task) =>
      ["lora", "vera", "aflora"].flatMap((method) => seeds({ method, task })),
    );
    const page = parsed(runs);
    expect(titles(page)).toEqual([
      ...["cola", "rte"].flatMap((task) => [
        `Scores on ${task}`,
        ...["trainable parameters", "time"].map((cost) => `Score and ${cost}, ${task}`),
      ]),
      "Costs relative to VeRA",
      "Iterations until frozen: aflora on cola",
      "Spread of iterations until frozen: aflora on cola",
      "Iterations until frozen: aflora on rte",
      "Spread of iterations until frozen: aflora on rte",
    ]);
    const costs = figure(page, "Costs relative to VeRA");
    expect(costs.querySelectorAll('g[aria-label="dot"] circle')).toHaveLength(9);
    expect(numbers(costs).map(([setting, , operations]) => [setting, operations])).toEqual([
      ["lora", "0.35×"],
      ["vera", "1×"],
      ["aflora", "0.34×"],
    ]);
    const scores = figure(page, "Scores on cola");
    expect(scores.querySelectorAll('g[aria-label="dot"] circle')).toHaveLength(3);
    expect(scores.querySelectorAll('g[aria-label="rule"] line')).toHaveLength(3);
    const accuracies = seeds({ method: "lora" }).map(({ result }) => result!.metrics.accuracy!);
    const average = accuracies.reduce((a, b) => a + b) / 3;
    const deviation = Math.sqrt(accuracies.reduce((sum, value) => sum + (value - average) ** 2, 0) / 2);
    expect(numbers(scores)[0]).toEqual(["lora", `${average.toPrecision(4)} ± ${deviation.toPrecision(2)}`, "3"]);
    const spread = figure(page, "Spread of iterations until frozen: aflora on cola");
    expect(spread.querySelectorAll('g[aria-label="cell"] rect')).toHaveLength(24);
    expect(numbers([...page.querySelectorAll(".facts table")].at(-1)!)).toHaveLength(18);
  });

  test("draws each run's boundary if blocks freeze", () => {
    const freezingBlocks = [1, 2].map((seed) => ({ directory: `runs/${seed}`, ...withFrozenBlocks(makeUp({ seed })) }));
    const page = parsed([...freezingBlocks, records({ method: "vera" })]);
    const path = figure(page, "Blocks frozen: aflora on sst2");
    expect(path.querySelectorAll('g[aria-label="line"] path')).toHaveLength(2);
    expect(numbers(path)).toEqual([1, 2].map((seed) => [String(seed), "80", "100", "120", "140", "160", "not frozen"]));
    expect(page.body.textContent).toContain("5 of 6");
  });

  test("shows absolute costs without VeRA", () => {
    const page = parsed([records({ method: "lora" }), records({ method: "aflora" })]);
    expect(titles(page).join()).not.toContain("relative to");
    const settings = page.querySelector(".facts table")!;
    expect(numbers(settings).map((cells) => cells.at(-1))).toEqual(["14.7 TFLOP", "14.3 TFLOP"]);
  });

  test("costs are relative to the highest of several ranks of VeRA", () => {
    const vera = [4, 8].map((rank) => records({ method: "vera", options: { rank } }));
    vera[1]!.result!.flops *= 2;
    const rows = numbers(figure(parsed(vera), "Costs relative to VeRA"));
    expect(rows.map(([setting, , operations]) => [setting, operations])).toEqual([
      ["vera, rank 4", "0.5×"],
      ["vera, rank 8", "1×"],
    ]);
  });

  test("calls the lowest mean squared error the best", () => {
    const runs = ["lora", "head"].map((method) => records({ method, metrics: ["mean_squared_error", "pearson"] }));
    const error = runs.map(({ result }) => result!.metrics.mean_squared_error!);
    const best = error[1]! < error[0]! ? 1 : 0;
    expect(parsed(runs).querySelector("main > p")!.textContent).toContain(
      `${["lora", "head"][best]} is best, with the lowest mean_squared_error, ${Number(error[best]!.toPrecision(4))} over 1 seed.`,
    );
  });

  test("distinguishes runs of one method by the options in which they differ", () => {
    const page = parsed([4, 8].flatMap((rank) => seeds({ method: "lora", options: { rank } })));
    expect(numbers(figure(page, "Scores on sst2")).map(([label]) => label)).toEqual(["lora, rank 4", "lora, rank 8"]);
  });

  test("leaves out unfinished runs", () => {
    const { result: _, ...unfinished } = records({ seed: 2 });
    expect(parsed([records(), unfinished]).title).toBe("1 run compared");
    expect(() => renderReport([unfinished, unfinished])).toThrow("there is no finished run to report");
  });
});

describe("written to a file", () => {
  test("holds the runs' report and leaves no other file", async () => {
    const directory = await writeRun(join(home, "one"), makeUp());
    await writeReport([directory], join(directory, "report.html"));
    expect(await readFile(join(directory, "report.html"), "utf8")).toContain("Iterations until frozen");
    expect((await readdir(directory)).sort()).toEqual([
      "config.json",
      "data.json",
      "freezing.jsonl",
      "metrics.jsonl",
      "report.html",
      "result.json",
    ]);
  });

  test("refuses runs that have no task in common, and unfinished ones", async () => {
    const cola = await writeRun(join(home, "cola"), makeUp({ task: "cola" }));
    const rte = await writeRun(join(home, "rte"), makeUp({ task: "rte", method: "lora" }));
    const growing = await writeRun(join(home, "growing"), makeUp(), false);
    const out = join(home, "none.html");
    await expect(writeReport([cola, rte], out)).rejects.toThrow(
      `can't be compared, because no task was run by all: aflora on cola in ${cola}; lora on rte in ${rte}`,
    );
    await expect(writeReport([cola, growing], out)).rejects.toThrow("did not finish");
    await expect(writeReport([cola, home], out)).rejects.toThrow("is not a run folder");
    expect(await readdir(home)).not.toContain("none.html");
  });

  test("names the path that can't be written", async () => {
    const directory = await writeRun(join(home, "unwritable"), makeUp());
    await expect(writeReport([directory], join(home, "nowhere", "report.html"))).rejects.toThrow(
      /cannot write .*report\.html: its folder does not exist/,
    );
  });
});
