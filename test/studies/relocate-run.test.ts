import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { relocateRun } from "../../src/studies/queue/relocate-run.ts";

let home: string;
let run: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-relocate-"));
  run = join(home, "run");
  await mkdir(run);
});
afterEach(() => rm(home, { recursive: true }));

const write = (name: string, value: object): Promise<void> => writeFile(join(run, name), JSON.stringify(value));
const read = async (name: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(join(run, name), "utf8"));

const examples = { train: 2, validation: { dev: 1 }, sha256: { all: "a", validation: "b" } };
const here = (...names: string[]): string => join(home, ...names);

test("a run finds its files here, whatever system it began on", async () => {
  const given = { task: "cola", data: here("glue"), adapter: here("tuned"), text: undefined };
  for (const [data, file] of [
    ["/there/glue", "/there/glue/CoLA/train.tsv"],
    ["C:\\there\\glue", "C:\\there\\glue\\CoLA\\train.tsv"],
  ] as const) {
    await write("config.json", { task: "cola", data, adapter: "/there/tuned", output: "/there/run", rank: 3 });
    // What only begins alike is another folder's.
    await write("data.json", { files: { [file]: "1", [`${data}-other`]: "2", [data]: "3" }, examples });
    await relocateRun(run, given);
    expect(await read("config.json")).toEqual({
      ...{ task: "cola", data: here("glue"), adapter: here("tuned"), rank: 3 },
      output: run,
    });
    expect(await read("data.json")).toEqual({
      files: { [here("glue", "CoLA", "train.tsv")]: "1", [`${data}-other`]: "2", [here("glue")]: "3" },
      examples,
    });
  }
});

test("a model's name on the hub is no path, and a run from this machine stays unchanged", async () => {
  const given = { train: here("train.csv"), model: "owner/name" };
  const config = { train: here("train.csv"), model: "owner/other", output: run };
  await write("config.json", config);
  await write("data.json", { files: { [here("train.csv")]: "1" }, examples });
  const before = [await readFile(here("run", "config.json"), "utf8"), await readFile(here("run", "data.json"), "utf8")];
  await relocateRun(run, given);
  expect([
    await readFile(here("run", "config.json"), "utf8"),
    await readFile(here("run", "data.json"), "utf8"),
  ]).toEqual(before);
  // Only its folder is another.
  await write("config.json", { ...config, output: "/there/run" });
  await relocateRun(run, given);
  expect(await read("config.json")).toEqual(config);
});

test("a run without files, or with data from the hub, is accepted; malformed options are refused", async () => {
  await relocateRun(run, { train: "train.csv" });
  await write("config.json", { dataset: "owner/name", output: "/there/run" });
  await relocateRun(run, { dataset: "owner/name" });
  expect(await read("config.json")).toEqual({ dataset: "owner/name", output: run });
  await expect(relocateRun(run, { train: "train.csv", rank: "many" })).rejects.toThrow(/rank/);
});
