import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { evaluateRun, fineTune, loadFineTunedModel, readRunRecords, writeReport } from "../../src/index.ts";
import { resolveConfig } from "../../src/preparation/run-options-node.ts";
import { runtime } from "../support/runtime.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

let home: string;
let run: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-removed-"));
  run = join(home, "run");
  await writeTinyModel(join(home, "model"));
  await writeCsv(join(home, "tickets.csv"), tickets());
  const options = { model: join(home, "model"), train: join(home, "tickets.csv"), text: "message", label: "team" };
  await fineTune({
    ...options,
    method: "aflora",
    epochs: 1,
    headStart: "new",
    freezeBlocks: "linear",
    threads: 1,
    output: run,
  });
});
afterAll(() => rm(home, { recursive: true }));

/** Adds an earlier version's options to a file of the run. */
async function rewrite(file: string, change: (saved: Record<string, unknown>) => object): Promise<void> {
  const path = join(run, file);
  await writeFile(path, JSON.stringify(change(JSON.parse(await readFile(path, "utf8")))));
}

test("a run of an earlier version with options that were removed evaluates, predicts and has a report that names them", async () => {
  const before = await evaluateRun(run, { threads: 1 });
  const model = await loadFineTunedModel(run, runtime);
  const answer = await model.predict("my card was charged twice");
  await model.release();
  await rewrite("config.json", (saved) => ({
    ...saved,
    ...{ freezeTogether: true, freezeBlocks: "autofreeze", freezeBlocksThreshold: 0.5 },
  }));
  await rewrite("adapter/adapter.json", ({ methodOptions, ...saved }) => ({
    ...saved,
    methodOptions: { ...(methodOptions as object), freezeTogether: true },
  }));

  expect(await evaluateRun(run, { threads: 1 })).toEqual(before);
  const again = await loadFineTunedModel(run, runtime);
  expect(await again.predict("my card was charged twice")).toEqual(answer);
  await again.release();
  const records = await readRunRecords(run);
  expect(records.config.removed).toEqual({
    freezeTogether: true,
    freezeBlocks: "autofreeze",
    freezeBlocksThreshold: 0.5,
  });
  await writeReport([run], join(home, "report.html"));
  expect(await readFile(join(home, "report.html"), "utf8")).toContain("autofreeze");
});

test.each([
  [
    { freezeBlocks: "autofreeze" },
    'option "freezeBlocks" no longer has the value "autofreeze", which gained nothing; leave it out',
  ],
  [{ freezeTogether: false }, 'option "freezeTogether" was removed: it gained nothing; leave it out'],
])("a new run with %j is refused in a sentence", (given, message) => {
  expect(() => resolveConfig({ train: "a.csv", ...given })).toThrow(new UserError(message));
});
