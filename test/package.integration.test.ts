import { execSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

interface Packed {
  size: number;
  files: { path: string; size: number }[];
}

test("the package holds what it is for, and has the size that the README says", ({ skip }) => {
  if (!existsSync(`${root}/dist/page`)) skip("dist/page is not built: npm run build");
  const printed = execSync("npm pack --dry-run --ignore-scripts --json", {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [{ size, files }] = JSON.parse(printed) as [Packed];
  const said = Number(/The package is (\d+) MB/.exec(readFileSync(`${root}/README.md`, "utf8"))![1]);
  expect(Math.abs(size / 1e6 - said)).toBeLessThan(1.5);

  const paths = files.map(({ path }) => path);
  for (const path of ["dist/index.js", "dist/web.d.ts", "dist/cli/main.js", "dist/page/index.html", "NOTICE"])
    expect(paths).toContain(path);
  expect(paths.filter((path) => path.startsWith("templates/classification/")).map((path) => basename(path))).toEqual([
    "predict.ts",
    "train.ts",
    "wishes.csv",
  ]);
  expect(paths.filter((path) => /^(src|test|bench|site|oracle|web)\//.test(path))).toEqual([]);
});
