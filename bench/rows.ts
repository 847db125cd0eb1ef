/**
 * Training on files of many rows: the time to the first step, its share of an epoch, the peak of the memory beside the weights, and rows
 * a second; and the time to read and encode a file, beside datasets and transformers.
 *
 *     npm run bench:rows -- [PYTHON] [--rows 10000,100000,1000000] [--threads 2]
 *
 * PYTHON is an interpreter with datasets and transformers; without it, only aflora is measured. The rows are drawn: 20 to 60 words of
 * some 20,000, and one of four classes that some of the words tell. Each row of the table is a process of its own.
 */
import { spawnSync } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { pythonOf, refuse } from "./arguments.ts";
import type { RowsMeasure } from "./peer-rows.ts";

const TOPICS = ["billing", "delivery", "account", "sport"];
const SYLLABLES = "ba ce di fo gu har jen kil lom mun nor pes qui ran sol tur vex win yar zet ing ter ed al".split(" ");
const COMMON =
  "the of and to in for is on that with was as it by from at order payment card refund late password reset invoice team game".split(
    " ",
  );
const RARE_WORDS = 20_000;

/** Lines of a CSV file of texts with their classes. */
function* linesOf(rows: number): Generator<string> {
  const random = xoroshiro128plus(1);
  const below = (count: number): number => Math.floor(count * uniformFloat64(random));
  const oneOf = (words: readonly string[]): string => words[below(words.length)]!;
  const rare = Array.from({ length: RARE_WORDS }, () =>
    Array.from({ length: 1 + below(3) }, () => oneOf(SYLLABLES)).join(""),
  );
  yield "text,label\n";
  for (let row = 0; row < rows; row++) {
    const topic = oneOf(TOPICS);
    const words = Array.from({ length: 20 + below(41) }, () => {
      const which = below(20);
      return which === 0 ? topic : which < 12 ? oneOf(COMMON) : oneOf(rare);
    });
    yield `"${words.join(" ")}, no. ${row}",${topic}\n`;
  }
}

function measured(command: string, args: readonly string[]): RowsMeasure {
  const { stdout, status } = spawnSync(command, args, { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });
  if (status !== 0) refuse(`${command} ${args.join(" ")} ended with code ${status}`);
  return JSON.parse(stdout);
}

const text = { type: "string" } as const;
const { values, positionals } = parseArgs({
  options: {
    rows: { ...text, default: "10000,100000,1000000" },
    threads: { ...text, default: String(availableParallelism()) },
  },
  allowPositionals: true,
});
const python = positionals[0] && pythonOf(positionals[0]);
const pathOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "aflora-rows-"));
console.log(`| rows | | seconds | share of an epoch | peak memory, MB | rows a second |\n|${" --- |".repeat(6)}`);
for (const rows of values.rows.split(",").map(Number)) {
  const file = join(folder, `${rows}.csv`);
  await pipeline(linesOf(rows), createWriteStream(file));
  const own = (what: "train" | "encode") =>
    measured(process.execPath, [...process.execArgv, pathOf("peer-rows.ts"), what, file, values.threads]);
  const all: [string, RowsMeasure][] = [
    ["to the first step, then steps", own("train")],
    ["reading and encoding", own("encode")],
  ];
  if (python) {
    const args = [pathOf("../oracle/rows_speed.py"), file, pathOf("../assets/all-MiniLM-L6-v2"), values.threads];
    all.push(["datasets and transformers", measured(python, args)]);
  }
  for (const [who, { seconds, memory, rowsPerSecond }] of all) {
    const share = who.includes("step") ? `${((100 * seconds * rowsPerSecond) / rows).toFixed(1)} %` : "";
    const cells = [rows.toLocaleString("en-US"), who, seconds.toFixed(1), share, Math.round(memory / 1e6)];
    console.log(`| ${[...cells, Math.round(rowsPerSecond).toLocaleString("en-US")].join(" | ")} |`);
  }
}
await rm(folder, { recursive: true });
