import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const root = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const SOURCE = root("src");
const TESTS = root("test");

/** `graph` of `graph/ops.ts`. */
const roomOf = (file: string) => file.split(/[/\\]/)[0]!;

interface SourceFile {
  /** Path within src/, with forward slashes. */
  path: string;
  text: string;
  /** Files of ours that it imports, types included, likewise. */
  imports: string[];
}

const slashes = (path: string) => path.split(sep).join("/");

async function readSources(): Promise<SourceFile[]> {
  const entries = await readdir(SOURCE, { recursive: true, withFileTypes: true });
  return Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        const text = await readFile(path, "utf8");
        const named = ts.preProcessFile(text).importedFiles.map(({ fileName }) => fileName);
        const ours = named.filter((name) => name.startsWith("."));
        const imports = ours.map((name) => slashes(relative(SOURCE, join(dirname(path), name))));
        return { path: slashes(relative(SOURCE, path)), text, imports };
      }),
  );
}

const sourceFiles = await readSources();

test("a room imports only from rooms above it in the table of docs/architecture.md", async () => {
  const table = await readFile(root("docs/architecture.md"), "utf8");
  // What every room throws and lists lies below all of them.
  const rooms = ["errors.ts", ...[...table.matchAll(/^\| `([\w.-]+)\/?` \|/gm)].map(([, room]) => room!)];
  expect(rooms.toSorted()).toEqual((await readdir(SOURCE)).toSorted());

  const wrong = sourceFiles.flatMap(({ path, imports }) =>
    imports
      .filter((imported) => rooms.indexOf(roomOf(imported)) > rooms.indexOf(roomOf(path)))
      .map((imported) => `${path} imports ${imported}`),
  );
  expect(wrong).toEqual([]);
});

test("no file outside of tasks/ imports a kind of task; an entrance may name a kind's types", async () => {
  const isKind = (path: string): boolean => path.startsWith("tasks/kinds/");
  const wrong = sourceFiles.flatMap(({ path, text, imports }) => {
    if (path.startsWith("tasks/")) return [];
    const typesAlone = !path.includes("/") && !/^import .*tasks\/kinds\/|^export \{[^}]*tasks\/kinds\//m.test(text);
    return typesAlone ? [] : imports.filter(isKind).map((imported) => `${path} imports ${imported}`);
  });
  expect(wrong).toEqual([]);
});

test("no files import each other in a circle, types included", async () => {
  const importsOf = new Map(sourceFiles.map(({ path, imports }) => [path, imports]));
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, way: readonly string[]): void => {
    if (way.includes(file)) circles.push([...way.slice(way.indexOf(file)), file].join(" → "));
    if (done.has(file) || way.includes(file)) return;
    for (const imported of importsOf.get(file) ?? []) visit(imported, [...way, file]);
    done.add(file);
  };
  for (const file of importsOf.keys()) visit(file, []);
  expect(circles).toEqual([]);
});

test("no source file is longer than 350 lines", async () => {
  const long = sourceFiles.filter(({ text }) => text.split("\n").length > 351).map(({ path }) => path);
  expect(long).toEqual([]);
});

test("what tests of several folders import stands in test/support/, or is an example from outside", async () => {
  const entries = await readdir(TESTS, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(".ts"));
  const borrowed = await Promise.all(
    files.map(async ({ parentPath, name }) => {
      const path = slashes(relative(TESTS, join(parentPath, name)));
      const { importedFiles } = ts.preProcessFile(await readFile(join(parentPath, name), "utf8"));
      return importedFiles
        .map(({ fileName }) => slashes(relative(TESTS, join(parentPath, fileName))))
        .filter((imported, i) => importedFiles[i]!.fileName.startsWith(".") && !imported.startsWith("../"))
        .filter((imported) => ![roomOf(path), "support", "outside"].includes(roomOf(imported)))
        .map((imported) => `${path} imports ${imported}`);
    }),
  );
  expect(borrowed.flat()).toEqual([]);
});

test("no function is longer than 80 lines, unless a comment above it says why", async () => {
  const long: string[] = [];
  for (const { path, text } of sourceFiles) {
    const lines = text.split("\n");
    if (lines.length <= 80) continue;
    const file = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023);
    const lineOf = (position: number): number => file.getLineAndCharacterOfPosition(position).line;
    const check = (node: ts.Node): void => {
      const first = lineOf(node.getStart(file));
      if (lineOf(node.end) - first < 80) return;
      const above = lines.slice(0, first).reverse();
      const comment = above.slice(
        0,
        above.findIndex((line) => !/^\s*(\/\/|\/?\*)/.test(line)),
      );
      if (!comment.some((line) => /^\s*(\/\/|\*) Long because ./.test(line))) long.push(`${path}, line ${first + 1}`);
    };
    const visit = (node: ts.Node): void => {
      if (ts.isFunctionLike(node)) check(node);
      ts.forEachChild(node, visit);
    };
    visit(file);
  }
  expect(long).toEqual([]);
});

test("src/ has at most 20 rooms on its first level", async () => {
  const entries = await readdir(SOURCE, { withFileTypes: true });
  expect(entries.filter((entry) => entry.isDirectory()).length).toBeLessThanOrEqual(20);
});
