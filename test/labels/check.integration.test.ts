import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseCsv } from "../../src/datasets/parse-csv.ts";
import { afloraHere } from "../support/aflora.ts";
import { tickets, writeCsv } from "../support/tiny-model.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-check-"));
});
afterAll(() => rm(home, { recursive: true }));

const check = (more: string) => afloraHere(`check --threads 1 ${more}`.split(" "), home);

test("shows rows that look wrong, and writes all of them", async () => {
  const rows = tickets(2).map((row, i) => (i === 3 ? { ...row, team: "delivery" } : row));
  await writeCsv(join(home, "train.csv"), [...rows, { message: "two cats on a mat", team: "pets" }]);
  await appendFile(join(home, "train.csv"), ",\n");
  await writeFile(join(home, "held.csv"), "message,team\nMY CARD was charged twice!,billing\n");
  const { code, stdout, stderr } = await check("--train train.csv --validation held.csv --output problems.csv");
  expect(code, stderr).toBe(0);
  expect(stdout).toContain('note: 1 class has fewer than 3 rows ("pets")');
  expect(stdout).toContain("note: 1 row without any text or label: skipped");
  expect(stdout).toContain("classes with few rows: 1\npets has 1 training row;");
  const [header, ...found] = parseCsv(await readFile(join(home, "problems.csv"), "utf8"), "").map(({ cells }) => cells);
  expect(header).toEqual(["problem", "place", "label", "text", "detail"]);
  expect(found.map(([problem, place]) => [problem, place])).toContainEqual(["in validation", "held.csv, line 2"]);
  expect(found.filter(([problem]) => problem === "label").map(([, place]) => place)).toContain("train.csv, line 5");
});

test("strict checks end with all notes", async () => {
  await writeCsv(join(home, "few.csv"), [...tickets(2), { message: "two cats on a mat", team: "pets" }]);
  const { code, stdout, stderr } = await check("--train few.csv --strict");
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain("the examples have a problem; fix them, or leave --strict out:\n- 1 class has fewer than");
});

test("a file without a header is reported", async () => {
  await writeFile(join(home, "bare.csv"), "my card was charged,billing\nthe app crashed,bug\nmoney is lost,billing\n");
  const { code, stdout } = await check("--train bare.csv");
  expect(code).toBe(0);
  expect(stdout).toContain('bare.csv seems to have no header: "billing" is in the first line and once below it');
});
