import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** How a bench ends that is called with these arguments. */
async function ended(bench: string, ...given: string[]): Promise<[code: unknown, stderr: string]> {
  const program = ["--import", import.meta.resolve("tsx"), `bench/${bench}.ts`, ...given];
  return promisify(execFile)(process.execPath, program, { cwd: ROOT }).then(
    ({ stderr }) => [0, stderr],
    ({ code, stderr }) => [code, stderr],
  );
}

// Whatever starts will do for a Python here.
test.each([
  [
    "peer",
    [process.execPath, "bert-base", "8by64"],
    '"8by64" is no size of a batch; give texts and tokens of each, such as 8x64',
  ],
  ["peer", ["no-python-here", "all-MiniLM-L6-v2", "1x8"], "cannot start no-python-here: "],
  [
    "language-model",
    ["--large", "LLaMA-8B"],
    'unknown model "LLaMA-8B"; did you mean "LLaMA-7B"? (known: LLaMA-7B, TinyLlama-1.1B)',
  ],
])("bench:%s %j says in one sentence what is wrong", async (bench, given, message) => {
  const [code, stderr] = await ended(bench, ...given);
  expect([code, stderr.trimEnd().split("\n")]).toEqual([2, [expect.stringContaining(`error: ${message}`)]]);
});
