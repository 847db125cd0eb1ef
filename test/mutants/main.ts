/**
 * Small changes to a room, one at a time, and whether a test sees each:
 * npm run test:mutants -- tasks/metrics --count 30 --seed 1 --minutes 4 --results mutants.jsonl
 * It works on a copy of what is committed, and tells each change that no test sees. What the file of results has is not tried again.
 */
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { type Mutant, mutantsOf, mutated } from "./mutants.ts";
import { testsOf } from "./tests-of.ts";
import { WarmTests } from "./warm-tests.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Milliseconds for a test file without a change. */
const PATIENCE = 120_000;
/** Milliseconds, beyond this multiple of those without a change, after which one has made the tests hang: they see it. */
const SLACK = { more: 10_000, times: 4 };

/** A change and the test that sees it, if one does. */
interface Result {
  file: string;
  line: number;
  to: string;
  seen: string | null;
}

/** Whether a test file passes without a change, and in how many milliseconds; one that does not sees nothing. */
interface Baseline {
  test: string;
  passes: boolean;
  ms: number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: "string", default: "30" },
    seed: { type: "string", default: "1" },
    minutes: { type: "string", default: "Infinity" },
    results: { type: "string" },
  },
});
const end = Date.now() + 60_000 * Number(values.minutes);
const known: (Result | Baseline)[] = (
  values.results && existsSync(values.results) ? readFileSync(values.results, "utf8") : ""
)
  .split("\n")
  .filter(Boolean)
  .map((line) => JSON.parse(line));

const copy = mkdtempSync(join(tmpdir(), "aflora-mutants-"));
const warm = new WarmTests(copy);
try {
  execFileSync("git", ["clone", "--quiet", "--shared", ROOT, copy]);
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  cpSync(join(ROOT, "dist"), join(copy, "dist"), { recursive: true });
  const tests = filesIn(join(copy, "test")).filter((name) => name.endsWith(".test.ts"));
  const chosenTests = testsOf(copy, tests);
  for (const room of positionals) await tryRoom(room, chosenTests);
} finally {
  warm.close();
  rmSync(copy, { recursive: true, force: true });
}

async function tryRoom(room: string, chosenTests: (file: string) => string[]): Promise<void> {
  const all = filesIn(join(copy, "src", room)).flatMap((file) =>
    mutantsOf(readFileSync(file, "utf8")).map((mutant) => ({ file, mutant })),
  );
  const random = xoroshiro128plus(Number(values.seed));
  const results: Result[] = [];
  while (results.length < Number(values.count) && all.length > 0 && Date.now() < end) {
    const [{ file, mutant }] = all.splice(uniformInt(random, 0, all.length - 1), 1) as [(typeof all)[number]];
    results.push(resultOf(file, mutant) ?? (await tried(file, mutant, chosenTests(file))));
  }
  const seen = results.filter((result) => result.seen).length;
  console.log(`${room}: tests see ${seen} of ${results.length} changes`);
}

function resultOf(file: string, { line, to }: Mutant): Result | undefined {
  const name = relative(copy, file);
  return known.find(
    (result): result is Result => "seen" in result && result.file === name && result.line === line && result.to === to,
  );
}

async function tried(file: string, mutant: Mutant, tests: readonly string[]): Promise<Result> {
  const seen = (await seenBy(file, mutant, tests)) ?? null;
  const result = { file: relative(copy, file), line: mutant.line, to: mutant.to, seen };
  note(result);
  if (!seen) {
    console.log(`no test sees ${result.file}:${mutant.line + 1}\n- ${mutant.from.trim()}\n+ ${mutant.to.trim()}`);
  }
  return result;
}

/** The test that sees a change. Test files run one after the other: mostly, the nearest one sees it, and is the quickest. */
async function seenBy(file: string, mutant: Mutant, tests: readonly string[]): Promise<string | undefined> {
  for (const path of tests) {
    const { test, passes, ms } = await baselineOf(path);
    const failure = passes ? await failureOf(file, mutant, test, ms) : undefined;
    if (failure !== undefined) return failure;
  }
  return undefined;
}

async function baselineOf(file: string): Promise<Baseline> {
  const test = relative(copy, file);
  const before = known.find((each): each is Baseline => "test" in each && each.test === test);
  if (before) return before;
  const start = Date.now();
  const passes = (await warm.failure(file, [file], PATIENCE)) === undefined;
  const baseline = { test, passes, ms: Date.now() - start };
  note(baseline);
  return baseline;
}

function note(result: Result | Baseline): void {
  known.push(result);
  if (values.results) appendFileSync(values.results, `${JSON.stringify(result)}\n`);
}

/** @param ms time of the test without a change */
async function failureOf(file: string, mutant: Mutant, test: string, ms: number): Promise<string | undefined> {
  const text = readFileSync(file, "utf8");
  write(file, mutated(text, mutant));
  try {
    return await warm.failure(file, [join(copy, test)], SLACK.more + SLACK.times * ms);
  } finally {
    write(file, text);
  }
}

/** Writes a file that is as old as before: nothing is built from it again. */
function write(file: string, text: string): void {
  const { atime, mtime } = statSync(file);
  writeFileSync(file, text);
  utimesSync(file, atime, mtime);
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name))
    .toSorted();
}
