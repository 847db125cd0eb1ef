import { execSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (name: string) => JSON.parse(readFileSync(`${root}/${name}`, "utf8"));

describe("`npm ci` in a clone downloads no CUDA", () => {
  test("npm 11: the script is denied, and every other one is decided on", () => {
    const { allowScripts } = read("package.json") as { allowScripts: Record<string, boolean> };
    expect(allowScripts["onnxruntime-node"]).toBe(false);
    const packages: Record<string, { hasInstallScript?: boolean; optional?: boolean }> =
      read("package-lock.json").packages;
    const withScripts = Object.entries(packages).filter(
      ([, { hasInstallScript, optional }]) => hasInstallScript && !optional,
    );
    const names = withScripts.map(([path]) => path.split("node_modules/").at(-1)!);
    expect(names.filter((name) => !(name in allowScripts))).toEqual([]);
  });

  test("npm 10: the lock file tells it of no script", () => {
    const { packages } = read("package-lock.json");
    expect(packages["node_modules/onnxruntime-node"].hasInstallScript).toBeUndefined();
  });

  test("npm knows every key of .npmrc", () => {
    expect(existsSync(`${root}/.npmrc`)).toBe(false);
    const { npm_config_onnxruntime_node_install: _, ...env } = process.env;
    const said = execSync("npm config get ignore-scripts 2>&1", { cwd: root, encoding: "utf8", env });
    expect(said).not.toContain("Unknown project config");
  });
});
