import { existsSync } from "node:fs";
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, inject, test } from "vitest";
import { blocksOf, PAGES } from "./pages.ts";
import { ran, typeChecks } from "./project.ts";
import { programName, TIMEOUT } from "./walk.ts";

const { project, byNpm } = inject("installation");

test("npm installs the package in an empty folder", ({ skip }) => {
  if (!byNpm) skip("neither npm's registry nor a cache of what aflora needs is here");
  expect(existsSync(join(project, "package-lock.json"))).toBe(true);
});

test("pages of the package link to nothing that it lacks, apart from pages of results", async () => {
  const installedFiles = join(project, "node_modules/aflora");
  const missing: string[] = [];
  for (const page of PAGES.filter((each) => !each.startsWith("docs/results/"))) {
    const text = await readFile(join(installedFiles, page), "utf8");
    // Measurements are in the repository and on the site only.
    for (const [, link] of text.matchAll(/(?:\]\(|src="|srcset=")(?!https?:|#|(?:docs\/)?results\/)([^)"#]+)/g)) {
      if (!existsSync(join(installedFiles, page, "..", link!))) missing.push(`${page}: ${link}`);
    }
  }
  expect(missing).toEqual([]);
});

test("a program of the installed package is one file, which answers elsewhere with the native runtime", async () => {
  const elsewhere = join(project, "../elsewhere");
  await mkdir(join(elsewhere, "node_modules"), { recursive: true });
  for (const name of ["onnxruntime-node", "onnxruntime-common"])
    await symlink(join(project, "node_modules", name), join(elsewhere, "node_modules", name));
  await cp(join(project, "node_modules/aflora/assets"), join(elsewhere, "assets"), { recursive: true });
  const program = join(project, "embeds.mjs");
  await writeFile(
    program,
    `import { loadEmbedder } from "aflora/predict";
const model = await loadEmbedder();
console.log((await model.embed(["a text"]))[0].length > 0);
await model.release();`,
  );
  const outfile = join(elsewhere, "embeds.mjs");
  const places = { entryPoints: [program], outfile, external: ["onnxruntime-node"] };
  await build({ ...places, bundle: true, platform: "node", format: "esm", logLevel: "error" });
  expect(await ran(process.execPath, ["embeds.mjs"], elsewhere)).toBe("true\n");
});

test("CommonJS requires the package", async () => {
  await writeFile(
    join(project, "required.cjs"),
    'const { fineTune } = require("aflora");\nconsole.log(typeof fineTune, typeof require("aflora/web").fineTune);\n',
  );
  expect(await ran(process.execPath, ["required.cjs"], project)).toBe("function function\n");
});

test.each([
  ["nodenext", ["--module", "nodenext"]],
  // The package's own types are checked above.
  ["bundler", ["--module", "esnext", "--moduleResolution", "bundler", "--skipLibCheck", "true"]],
])(
  "programs of all pages type-check with %s",
  async (_, flags) => {
    const programs = PAGES.flatMap(blocksOf).filter(({ language }) => language === "ts");
    // What is not of an installed package cannot be checked in a project.
    const checked = programs.filter(({ text }) => !/from "\.\.\//.test(text));
    for (const block of checked) await writeFile(join(project, programName(block)), block.text);
    await typeChecks(checked.map(programName), project, flags);
  },
  TIMEOUT,
);
