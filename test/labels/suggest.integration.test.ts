import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { afloraHere } from "../support/aflora.ts";
import { fineTune } from "../support/fine-tune.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-suggest-"));
  const rows = tickets(2);
  await writeCsv(join(home, "labelled.csv"), rows);
  await writeCsv(join(home, "rows.csv"), [
    ...rows.map(({ message }, id) => ({ id, message })),
    { id: 90, message: "" },
    { id: 91, message: "help me with a refund" },
    { id: 92, message: "the screen is late" },
    { id: 93, message: "help me with a refund" },
  ]);
  const model = await writeTinyModel(join(home, "model"));
  const data = { model, train: join(home, "labelled.csv"), text: "message", label: "team" };
  await fineTune({ ...data, method: "head", epochs: 1, threads: 1, output: join(home, "run") });
});
afterAll(() => rm(home, { recursive: true }));

const suggest = (more: string) =>
  afloraHere(`suggest --pool rows.csv --text message --threads 1 ${more}`.split(" "), home);

test("without a model, rows differ from each other, and go into a file to label", async () => {
  const { code, stdout, stderr } = await suggest("--model model --count 3 --output next.csv --label team");
  expect([code, stderr]).toEqual([0, "reading rows.csv\n"]);
  expect(stdout).toMatch(/^(line \d+\t[^\t\n]+\n){3}$/);
  const [header, ...lines] = (await readFile(join(home, "next.csv"), "utf8")).trimEnd().split("\n");
  expect(header).toBe("id,message,team");
  expect(lines).toHaveLength(3);
  expect(lines.every((line) => /^\d+,[^,]+,$/.test(line))).toBe(true);
});

test("labelled, blank and duplicate rows are left out; the model's guesses for the others are given", async () => {
  const labels = "(billing|bug|delivery) 0\\.\\d{3}";
  const expected = [
    expect.stringMatching(new RegExp(`^line 33\t${labels}\thelp me with a refund$`)),
    expect.stringMatching(new RegExp(`^line 34\t${labels}\tthe screen is late$`)),
  ];
  for (const learner of ["--model model", "--run run"]) {
    const { code, stdout, stderr } = await suggest(`${learner} --train labelled.csv --label team`);
    expect(code, stderr).toBe(0);
    expect(stdout.trimEnd().split("\n").sort()).toEqual(expected);
  }
});

test("explains errors", async () => {
  const { code, stderr } = await suggest("--train labelled.csv --label team --pool labelled.csv");
  expect([code, stderr]).toEqual([2, expect.stringContaining("no row with a text that is not labelled already")]);
});
