/**
 * Small changes to a room, one at a time, and whether the tests that import the changed file, or the room's files that do, see each:
 * npm run test:mutants -- tasks --count 30 --seed 1
 * It works on a copy of what is committed, and tells each change that no test sees.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Milliseconds after which a change has made the tests hang: they see it. */
const PATIENCE = 300_000;

/** What is changed into what; a change is one place of one rule. */
const RULES: readonly (readonly [from: RegExp, to: string])[] = [
  [/ === /g, " !== "],
  [/ !== /g, " === "],
  [/ <= /g, " < "],
  [/ >= /g, " > "],
  [/ < /g, " <= "],
  [/ > /g, " >= "],
  [/ && /g, " || "],
  [/ \|\| /g, " && "],
  [/ \+ /g, " - "],
  [/ - /g, " + "],
  [/ \* /g, " / "],
  [/\btrue\b/g, "false"],
  [/\bfalse\b/g, "true"],
  [/\bMath\.max\b/g, "Math.min"],
  [/\bMath\.min\b/g, "Math.max"],
  [/\.some\(/g, ".every("],
  [/\.every\(/g, ".some("],
  [/(?<=^const [A-Z_]+ = )\d+(?=;)/g, "7"],
  [/^ +(if \(.*\) )?(throw .*|refuse\(\));$/g, ""],
];

interface Mutant {
  file: string;
  line: number;
  from: string;
  to: string;
}

/** Lines that are code of their own: no comment, import, type or text of an error. */
const isCode = (line: string): boolean =>
  !/^\s*(\*|\/\/|\/\*|import |export type|type |interface |`)/.test(line) && !/^\s*["'`].*["'`],?$/.test(line);

function mutantsOf(file: string, text: string): Mutant[] {
  return text.split("\n").flatMap((line, number) => {
    if (!isCode(line)) return [];
    return RULES.flatMap(([from, to]) =>
      Array.from(line.matchAll(from), ({ index, 0: { length } }) => ({
        file,
        line: number,
        from: line,
        to: line.slice(0, index) + to + line.slice(index + length),
      })),
    );
  });
}

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name));

/** Of some files those that import a file, by that. */
function importersOf(files: readonly string[]): Map<string, string[]> {
  const importers = new Map<string, string[]>();
  for (const importer of files) {
    for (const [, path] of readFileSync(importer, "utf8").matchAll(/from "(\.[^"]+)"/g)) {
      const file = resolve(dirname(importer), path!);
      importers.set(file, [...(importers.get(file) ?? []), importer]);
    }
  }
  return importers;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { count: { type: "string", default: "30" }, seed: { type: "string", default: "1" } },
});
const copy = mkdtempSync(join(tmpdir(), "aflora-mutants-"));
try {
  execFileSync("git", ["clone", "--quiet", "--shared", ROOT, copy]);
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  const tests = importersOf(filesIn(join(copy, "test")).filter((name) => name.endsWith(".test.ts")));
  for (const room of positionals) tryRoom(room, tests);
} finally {
  rmSync(copy, { recursive: true, force: true });
}

function tryRoom(room: string, tests: ReadonlyMap<string, readonly string[]>): void {
  const own = filesIn(join(copy, "src", room));
  const testsOf = testsWithin(own, tests);
  const files = own.filter((file) => testsOf(file).length > 0);
  const all = files.flatMap((file) => mutantsOf(file, readFileSync(file, "utf8")));
  const random = xoroshiro128plus(Number(values.seed));
  let [seen, tried] = [0, 0];
  while (tried < Number(values.count) && all.length > 0) {
    const [mutant] = all.splice(uniformInt(random, 0, all.length - 1), 1);
    const isSeen = isCaught(mutant!, testsOf(mutant!.file));
    tried++;
    seen += Number(isSeen);
    if (!isSeen) tell(mutant!);
  }
  console.log(`${room}: tests see ${seen} of ${tried} changes in ${files.length} files`);
}

/** Tests of a room's files: those that import one or, where none does, those of the room's files that import it. */
function testsWithin(room: readonly string[], tests: ReadonlyMap<string, readonly string[]>) {
  const importers = importersOf(room);
  const testsOf = (file: string, seen: readonly string[] = []): readonly string[] => {
    const others = (importers.get(file) ?? []).filter((each) => !seen.includes(each));
    return tests.get(file) ?? [...new Set(others.flatMap((each) => testsOf(each, [...seen, file])))];
  };
  return testsOf;
}

/** Unit tests first: whole models are trained where they see nothing. */
function isCaught({ file, line, to }: Mutant, tests: readonly string[]): boolean {
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.split("\n").with(line, to).join("\n"));
  try {
    const slow = (test: string): boolean => /\.(integration|endurance|browser)\.test\.ts$/.test(test);
    return [tests.filter((test) => !slow(test)), tests.filter(slow)].some((some) => some.length > 0 && fails(some));
  } finally {
    writeFileSync(file, text);
  }
}

function fails(tests: readonly string[]): boolean {
  const names = tests.map((test) => relative(copy, test));
  const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
  const { status } = spawnSync(process.execPath, [vitest, "run", ...names, "--maxWorkers", "1", "--bail", "1"], {
    cwd: copy,
    timeout: PATIENCE,
  });
  return status !== 0;
}

function tell({ file, line, from, to }: Mutant): void {
  console.log(`no test sees ${relative(copy, file)}:${line + 1}\n- ${from.trim()}\n+ ${to.trim()}`);
}
