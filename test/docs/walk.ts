import { cp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { type Block, blocksOf, commandsOf, ROOT } from "./pages.ts";
import { ran, runs } from "./project.ts";

/** Each takes seconds, but on a busy machine minutes. */
export const TIMEOUT = 600_000;
/** Blocks are written for a POSIX shell. */
export const SHELL = process.platform !== "win32";

export const programName = ({ place }: Block): string => `${place.replace(/\W/g, "-")}.mts`;

/** Runs commands in a project's shell, where `aflora` and `npx aflora` are the installed one. */
export function shell(commands: string, folder: string): Promise<string> {
  const PATH = [join(folder, "node_modules/.bin"), process.env.PATH].join(delimiter);
  return ran("bash", ["-c", commands], folder, { ...process.env, PATH, npm_config_offline: "true" });
}

/**
 * Tests that run every command and program of pages as printed, each page in a copy of the project.
 * @param more tests of what a page has left in its folder
 */
export function walk(pages: readonly string[], more?: (folder: string) => void): void {
  describe.each(pages)("%s", (page) => {
    const blocks = blocksOf(page);
    const { project } = inject("installation");
    const folder = join(project, "..", page.replace(/\W/g, "-"));
    beforeAll(async () => {
      await cp(project, folder, { recursive: true, filter: (path) => !path.endsWith("node_modules") });
      await symlink(join(project, "node_modules"), join(folder, "node_modules"));
    });
    afterAll(() => rm(folder, { recursive: true }));

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

    for (const block of blocks.filter(({ language }) => language === "ts")) {
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

    more?.(folder);
  });
}
