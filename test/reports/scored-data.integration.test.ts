import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseHTML } from "linkedom";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fineTune, writeReport } from "../../src/index.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-scored-"));
  await writeTinyModel(join(home, "model"));
});
afterAll(() => rm(home, { recursive: true }));

async function trained(name: string, method: "lora" | "head", rows: number, validationSplit?: number): Promise<string> {
  const train = await writeCsv(join(home, "tickets.csv"), tickets().slice(0, rows));
  const given = { model: join(home, "model"), train, text: "message", label: "team", method, epochs: 1, threads: 1 };
  const { directory } = await fineTune({ ...given, validationSplit, batchSize: 8, output: join(home, name) });
  return directory;
}

async function reported(...runs: string[]): Promise<Document> {
  const page = join(home, "page.html");
  await writeReport(runs, page);
  return parseHTML(await readFile(page, "utf8")).document;
}

const charts = (page: Document) =>
  [...page.querySelectorAll("figure")]
    .filter((figure) => figure.querySelector("h2")!.textContent!.startsWith("Scores on"))
    .map((figure) => [
      figure.querySelector("h2")!.textContent,
      figure.querySelector("figcaption p")!.textContent!.split(". ")[0],
      [...figure.querySelectorAll("tbody th")].map((label) => label.textContent),
    ]);

test("runs of one file share a chart, but not with those on another split of it or after it was changed", async () => {
  const head = await trained("head", "head", 45);
  const lora = await trained("lora", "lora", 45);
  const split = await trained("split", "lora", 45, 0.2);
  const changed = await trained("changed", "lora", 42);
  const of45 = "40 training examples; scored on 5 held out (10 %, drawn by seed 42)";
  const together = await reported(head, lora);
  expect(charts(together)).toEqual([["Scores on tickets.csv", expect.any(String), ["head", "lora"]]]);
  expect(together.querySelector("main")!.textContent).toContain(of45);
  expect(together.querySelector("main")!.textContent).not.toContain("stand apart");

  const page = await reported(head, lora, split, changed);
  // One setting alone is compared with nothing: the table has its score.
  expect(charts(page).map(([title, , labels]) => [title, labels])).toEqual([
    ["Scores on tickets.csv (1)", ["head", "lora"]],
  ]);
  const columns = [...page.querySelectorAll(".facts table")[0]!.querySelectorAll("thead th")];
  expect(columns.map(({ textContent }) => textContent)).toEqual(
    expect.arrayContaining(["tickets.csv (1) accuracy", "tickets.csv (2) accuracy", "tickets.csv (3) accuracy"]),
  );
  expect(page.querySelector("main")!.textContent).toContain(
    "36 training examples; scored on 9 held out (20 %, drawn by seed 42)",
  );
  expect(page.querySelector("main")!.textContent).toContain(
    "are shown separately, because their scores are not comparable",
  );
});
