import { mkdir, mkdtemp, readFile, realpath, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { afloraHere, type Ended } from "../support/aflora.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
/** Another working directory than the run's. */
let elsewhere: string;

const TRAIN =
  "train --model ./model --train tickets.csv --text message --label team --batch-size 8 --epochs 2 --threads 1";
const call = (command: string, folder: string): Promise<Ended> => afloraHere(command.split(" "), folder);

beforeAll(async () => {
  home = await realpath(await mkdtemp(join(tmpdir(), "aflora-folder-")));
  elsewhere = join(home, "elsewhere");
  await mkdir(elsewhere);
  await writeTinyModel(join(home, "model"));
  await writeCsv(join(home, "tickets.csv"), tickets());
  await call(`${TRAIN} --output run`, home);
});
afterAll(() => rm(home, { recursive: true }));

test("a run folder names model and data by absolute paths, and works from any working directory", async () => {
  const { config, dataFingerprint } = await readRunRecords(join(home, "run"));
  expect(config.source).toMatchObject({ train: join(home, "tickets.csv") });
  expect(config.run.model).toBe(join(home, "model"));
  expect(Object.keys(dataFingerprint.files!)).toEqual([join(home, "tickets.csv")]);

  const { stdout: scores } = await call("evaluate --run run --threads 1", home);
  expect(await call("evaluate --run ../run --threads 1", elsewhere)).toMatchObject({ code: 0, stdout: scores });
  const { code, stdout } = await call("export --run ../run --format peft --output peft --threads 1", elsewhere);
  expect([code, stdout]).toEqual([0, expect.stringContaining("compared with the run's model on 5 examples")]);
  expect((await call("predict --run ../run text", elsewhere)).code).toBe(0);
});

test("a run that was cut off resumes from another working directory, with its options as given", async () => {
  await call(`${TRAIN} --output cut`, home);
  await rm(join(home, "cut", "result.json"));
  const { code, stderr } = await call("train --resume ../cut --threads 1", elsewhere);
  expect(code, stderr).toBe(0);
  await rm(join(home, "cut", "result.json"));
  const again = await call(`${TRAIN} --resume cut`, home);
  expect(again.code, again.stderr).toBe(0);
});

test("missing or changed data is named, and no other is evaluated", async () => {
  const file = join(home, "tickets.csv");
  const remedy = "restore the file, or name other examples with --validation FILE (of a GLUE task --data DIR)";
  const began = "the data that the run in run began with";
  await rename(file, `${file}.old`);
  expect((await call("evaluate --run run", home)).stderr).toBe(
    `reading run\nerror: ${file} is missing, which held ${began}; ${remedy}\n`,
  );
  await writeFile(file, (await readFile(`${file}.old`, "utf8")).replace("charged", "billed"));
  expect((await call("evaluate --run run", home)).stderr).toBe(
    `reading run\nerror: ${file} is not ${began}; ${remedy}\n`,
  );
  expect((await call("evaluate --run run --validation tickets.csv", home)).code).toBe(0);
  const exported = await call("export --run run --format peft --output other --threads 1", home);
  expect(exported.stdout).toContain(
    `note: compared on built-in sentences: ${file} is not the data that the run in run began with`,
  );
  await rename(`${file}.old`, file);
});
