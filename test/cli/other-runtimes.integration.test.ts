import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

const run = promisify(execFile);
const path = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-runtimes-"));
  await writeTinyModel(join(home, "model"));
  await writeCsv(join(home, "tickets.csv"), tickets());
});
afterAll(() => rm(home, { recursive: true }));

describe.each([
  ["deno", ["run", "--allow-all"]],
  ["bun", ["run"]],
])("%s", (program, args) => {
  /** What a file writes to stdout, run by the program; skips the test where that is not installed. */
  async function output(skip: (note: string) => never, file: string, ...given: string[]): Promise<string> {
    const installed = await run(program, ["--version"]).catch(() => undefined);
    if (!installed) skip(`${program} is not installed here`);
    return (await run(program, [...args, path(file), ...given], { cwd: home })).stdout;
  }

  test("the command line trains, evaluates and predicts, the library predicts", async ({ skip }) => {
    const cli = "../../src/cli/main.ts";
    const flags = "--text message --label team --epochs 2 --batch-size 8 --threads 1".split(" ");
    const trained = await output(
      skip,
      cli,
      "train",
      "--model",
      "./model",
      "--train",
      "tickets.csv",
      ...flags,
      "--output",
      program,
    );
    expect(trained).toMatch(/^best epoch \d/);
    expect(await output(skip, cli, "evaluate", "--run", program)).toMatch(/^validation: 5 examples/);
    const predicted = await output(
      skip,
      cli,
      "predict",
      "--run",
      program,
      "--threads",
      "1",
      "my card was charged twice",
    );
    const label = await output(skip, "library-program.ts", program);
    expect(label).toMatch(/^(billing|bug|delivery)\n$/);
    expect(predicted).toMatch(new RegExp(`^${label.trim()} 0\\.\\d+\tmy card was charged twice\n$`));
  });
});
