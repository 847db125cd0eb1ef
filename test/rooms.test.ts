import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const root = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const SOURCE = root("src");

/** `graph` of `graph/ops.ts`. */
const roomOf = (file: string) => file.split(/[/\\]/)[0]!;

test("a room imports only from rooms above it in the table of docs/architecture.md", async () => {
  const table = await readFile(root("docs/architecture.md"), "utf8");
  // The errors that every room throws lie below all of them.
  const rooms = ["errors.ts", ...[...table.matchAll(/^\| `([\w.]+)\/?` \|/gm)].map(([, room]) => room!)];
  expect(rooms.toSorted()).toEqual((await readdir(SOURCE)).toSorted());

  const wrong: string[] = [];
  for (const entry of await readdir(SOURCE, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const file = relative(SOURCE, path);
    for (const { fileName } of ts.preProcessFile(await readFile(path, "utf8")).importedFiles) {
      if (!fileName.startsWith(".")) continue;
      const imported = relative(SOURCE, join(dirname(path), fileName));
      if (rooms.indexOf(roomOf(imported)) > rooms.indexOf(roomOf(file))) wrong.push(`${file} imports ${imported}`);
    }
  }
  expect(wrong).toEqual([]);
});
