import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exportCommand } from "../../src/cli/commands/export.ts";
import { registerExportFormat } from "../../src/extend.ts";
import { type ExportOptions, exportRun, fineTune, UserError } from "../../src/index.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";
import { flat } from "./flat-weights.ts";

let home: string;
let run: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-format-"));
  const model = await writeTinyModel(join(home, "model"), 2);
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  run = join(home, "run");
  await fineTune({ model, train, text: "message", label: "team", epochs: 1, batchSize: 8, threads: 1, output: run });
});
afterAll(() => rm(home, { recursive: true }));

test("an export format from outside writes a run's model, and what it wrote computes the same", async () => {
  const plain = await exportRun(run, { format: "flat", output: join(home, "flat") }, { threads: 1 });
  expect(plain.comparedTexts).toBeGreaterThan(3);
  expect(plain.largestDifference).toBeLessThan(1e-5);
  const packed = await exportRun(run, { format: "flat", gzip: true, output: join(home, "packed") }, { threads: 1 });
  expect(packed.files["numbers.bin"]!).toBeLessThan(plain.files["numbers.bin"]!);
});

test("help names it and its options, and errors do", async () => {
  const help = exportCommand().helpInformation().replace(/\s+/g, " ");
  expect(help).toMatch(/--format <format> .*flat: one file of numbers \(choices: [^)]*"flat"\)/);
  expect(help).toMatch(/Format flat: --gzip compress the numbers/);

  const output = join(home, "refused");
  const refused = (options: object, message: string) =>
    expect(exportRun(run, { output, ...options } as ExportOptions)).rejects.toThrow(new UserError(message));
  await refused(
    { format: "flatt" },
    'unknown export format "flatt"; did you mean "flat"? (export formats: peft, merged, onnx, gguf, flat)',
  );
  await refused({ format: "merged", gzip: true }, 'option "gzip" belongs to flat, not to export format "merged"');
  await refused(
    { format: "flat", gzip: "yes" },
    'option "gzip" of export format "flat": it must be true or false, not "yes"',
  );
  expect(existsSync(output)).toBe(false);
  expect(() => registerExportFormat(flat)).toThrow(
    new UserError('export format "flat" already exists; give the new one another name'),
  );
});
