import { existsSync } from "node:fs";
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { environment } from "../support/aflora.ts";
import { type Block, blocksOf, commandsOf, ROOT } from "./pages.ts";
import { installed, packed, ran, runs, shortenDemo, typeChecks, writeData } from "./project.ts";

/** Each takes seconds, but on a busy machine minutes. */
const TIMEOUT = 600_000;
const PAGES = [
  "README.md",
  "CONTRIBUTING.md",
  ...(await readdir(join(ROOT, "docs"))).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`),
];
/** Blocks are written for a POSIX shell. */
const SHELL = process.platform !== "win32";

let home: string;
let project: string;
let byNpm: boolean;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-docs-"));
  project = join(home, "my-project");
  byNpm = await installed(await packed(home), project);
  await writeData(project);
  await shortenDemo(project, 96);
}, TIMEOUT);
afterAll(() => rm(home, { recursive: true }));

/** Runs a block's commands in a project's shell, where `aflora` and `npx aflora` are the installed one. */
function shell(commands: string, folder: string): Promise<string> {
  const PATH = [join(folder, "node_modules/.bin"), process.env.PATH].join(delimiter);
  return ran("bash", ["-c", commands], folder, { ...environment(), PATH, npm_config_offline: "true" });
}

const programName = ({ place }: Block): string => `${place.replace(/\W/g, "-")}.mts`;

test("only what needs the hub, a GPU, a browser, Python, a clone or a client is not run", () => {
  const reasons = PAGES.flatMap(blocksOf).flatMap(({ place, notRun }) =>
    notRun === undefined ? [] : `${place}: ${notRun}`,
  );
  const needed = /: (the hub|downloads CUDA|in a (browser|clone)|a server|Python|the walk has|a file of the sources)/;
  expect(reasons.filter((reason) => !needed.test(reason))).toEqual([]);
});

test("npm installs the package in an empty folder", ({ skip }) => {
  if (!byNpm) skip("neither npm's registry nor a cache of what aflora needs is here");
  expect(existsSync(join(project, "package-lock.json"))).toBe(true);
});

test("pages of the package link to nothing that it lacks", async () => {
  const installedFiles = join(project, "node_modules/aflora");
  const missing: string[] = [];
  for (const page of PAGES) {
    const text = await readFile(join(installedFiles, page), "utf8");
    for (const [, link] of text.matchAll(/(?:\]\(|src="|srcset=")(?!https?:|#)([^)"#]+)/g)) {
      if (!existsSync(join(installedFiles, page, "..", link!))) missing.push(`${page}: ${link}`);
    }
  }
  expect(missing).toEqual([]);
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
  ["bundler", ["--module", "esnext", "--moduleResolution", "bundler"]],
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

describe.each(PAGES)("%s", (page) => {
  const blocks = blocksOf(page);
  let folder: string;
  beforeAll(async () => {
    if (page === "README.md") {
      folder = project;
      return;
    }
    // The README's runs are there for the pages that speak of them; a comparison goes on with its own folder's data only.
    folder = join(home, page.replace(/\W/g, "-"));
    await cp(project, folder, {
      recursive: true,
      filter: (path) => !/node_modules|\.mts$|tickets-(peft|merged|onnx)|runs.compare/.test(path),
    });
    await symlink(join(project, "node_modules"), join(folder, "node_modules"));
  });

  test("has no commands outside of a sh block", async () => {
    expect((await readFile(join(ROOT, page), "utf8")).match(/^ {4}(npx |\$ )?(aflora|npm) .*/gm)).toBeNull();
  });

  for (const block of blocks.filter(({ language }) => language === "sh")) {
    const { place, notRun } = block;
    test.skipIf(!SHELL || notRun !== undefined)(
      notRun === undefined ? place : `${place}, not run: ${notRun}`,
      () => shell(commandsOf(block), folder),
      TIMEOUT,
    );
  }

  const programs = blocks.filter(({ language }) => language === "ts");
  for (const block of programs) {
    const { place, notRun, before } = block;
    test.skipIf((!SHELL && before !== undefined) || notRun !== undefined)(
      notRun === undefined ? place : `${place}, not run: ${notRun}`,
      async () => {
        if (before !== undefined) await shell(`set -e\n${before}`, folder);
        await writeFile(join(folder, programName(block)), block.text);
        await runs(programName(block), folder);
      },
      TIMEOUT,
    );
  }
});

test.skipIf(!SHELL)("a model trained on what a spreadsheet wrote labels it", async () => {
  const { labels } = JSON.parse(
    await shell('aflora predict --run runs/tickets --json "My card was charged twice"', project),
  );
  expect(labels.map(({ label }: { label: string }) => label).sort()).toEqual([
    "account",
    "billing",
    "shipping",
    "technical",
  ]);
  const lines = (await shell("aflora predict --run runs/tickets --file tickets.csv --text message --json", project))
    .trimEnd()
    .split("\n");
  expect(JSON.parse(lines[0]!).text.replace("\r", "")).toBe('They said "paid" 😀,\nbut my card was charged twice');
  expect(lines).toHaveLength(90);
});
