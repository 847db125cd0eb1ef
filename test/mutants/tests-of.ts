import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** Most test files of units, and of whole runs, that a change is tried with. */
const MOST = { units: 6, runs: 2 };
/** Statements that load a file; types load none. */
const IMPORTS = /(?:^(?:import|export) (?!type )[^;]*?|\bimport\()"((?:\.[^"]+\.ts)|aflora)"/gms;
const WHOLE_RUNS = /\.(integration|alone)\.test\.ts$/;
const LEFT_OUT = /\.(browser|endurance)\.test\.ts$|\/test\/docs\//;

/**
 * Which test files a change is tried with: those of units from which the fewest imports lead to the changed file, those of its own room
 * first, then whole runs of its room, and those that import it themselves.
 * @param root The folder of the repository.
 */
export function testsOf(root: string, tests: readonly string[]): (file: string) => string[] {
  const importsOf = importReader(root);
  const tried = tests.filter((test) => !LEFT_OUT.test(test));
  const distances = new Map(tried.map((test) => [test, distancesFrom(test, importsOf)]));
  return (file) => {
    const ownFolder = dirname(file).replace(join(root, "src"), join(root, "test"));
    const importsTo = (test: string): number => distances.get(test)!.get(file) ?? Infinity;
    const isOwn = (test: string): boolean =>
      ownFolder.startsWith(dirname(test)) && dirname(test) !== join(root, "test");
    const place = (test: string): number => importsTo(test) + Number(!isOwn(test));
    const nearest = (some: readonly string[], most: number): string[] =>
      some.toSorted((a, b) => place(a) - place(b)).slice(0, most);
    const reaching = tried.filter((test) => importsTo(test) < Infinity);
    const runs = reaching.filter((test) => WHOLE_RUNS.test(test) && (isOwn(test) || importsTo(test) === 1));
    const units = reaching.filter((test) => !WHOLE_RUNS.test(test));
    return [...nearest(units, MOST.units), ...nearest(runs, MOST.runs)];
  };
}

function importReader(root: string): (file: string) => readonly string[] {
  const known = new Map<string, readonly string[]>();
  return (file) => {
    if (!known.has(file)) {
      const paths = Array.from(readFileSync(file, "utf8").matchAll(IMPORTS), ([, path]) => path!);
      known.set(
        file,
        paths.map((path) => (path === "aflora" ? join(root, "src/index.ts") : resolve(dirname(file), path))),
      );
    }
    return known.get(file)!;
  };
}

/** The files that one imports, that these import, and so on, with the number of imports between. */
function distancesFrom(start: string, importsOf: (file: string) => readonly string[]): ReadonlyMap<string, number> {
  const distances = new Map([[start, 0]]);
  for (const [file, distance] of distances) {
    for (const next of importsOf(file)) if (!distances.has(next)) distances.set(next, distance + 1);
  }
  return distances;
}
