import { execFile } from "node:child_process";
import { cp, mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { isBuilt } from "../support/build.ts";
import { ROOT } from "./pages.ts";

const execute = promisify(execFile);
const module = (path: string): string => join(ROOT, "node_modules", path);

/** Runs a program; what it printed stands in the error where it fails. */
export async function ran(file: string, args: readonly string[], cwd: string, env = process.env): Promise<string> {
  try {
    // npm is a script of the shell's on Windows.
    const options = { cwd, env, maxBuffer: 64e6, shell: process.platform === "win32" };
    const { stdout } = await execute(file, args, options);
    return stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${file} ${args.join(" ")}\n${stdout}\n${stderr}`, { cause: error });
  }
}

/**
 * Packs aflora as `npm run build` has built it. Where that is older than the sources it is built apart from `dist/`, which
 * other tests may be running.
 * @returns the tarball
 */
export async function packed(folder: string): Promise<string> {
  const stage = join(folder, "stage");
  const { files } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as { files: string[] };
  // The whole of docs/, of which npm takes what is named.
  const sources = files.map((name) => name.split("/")[0]!).filter((name) => name !== "dist");
  const names = new Set(["package.json", "README.md", ...sources]);
  for (const name of names) await cp(join(ROOT, name), join(stage, name), { recursive: true });
  const [dist, page] = [join(ROOT, "dist"), join(ROOT, "dist/page")];
  if (isBuilt("index.d.ts", ["src"])) {
    await cp(dist, join(stage, "dist"), { recursive: true, filter: (path) => path !== page });
  } else {
    const build = ["-p", join(ROOT, "tsconfig.build.json"), "--noCheck", "--outDir", join(stage, "dist")];
    await ran(process.execPath, [module("typescript/bin/tsc"), ...build], ROOT);
  }
  await ran("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], stage);
  const tarball = (await readdir(folder)).find((name) => name.endsWith(".tgz"))!;
  return join(folder, tarball);
}

/**
 * Installs the tarball in a folder as the README says. Where npm cannot, without a registry or a cache that holds what
 * aflora needs, it is unpacked beside this repository's own modules.
 * @returns whether npm installed it
 */
export async function installed(tarball: string, project: string): Promise<boolean> {
  await mkdir(project, { recursive: true });
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: "skip", npm_config_fetch_retries: "0" };
  try {
    await ran("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", tarball], project, env);
    return true;
  } catch {
    const modules = join(project, "node_modules");
    await mkdir(join(modules, ".bin"), { recursive: true });
    for (const name of await readdir(join(ROOT, "node_modules"))) {
      if (!name.startsWith(".")) await symlink(module(name), join(modules, name)).catch(() => undefined);
    }
    await mkdir(join(modules, "aflora"));
    await ran("tar", ["-xzf", tarball, "--strip-components", "1", "-C", join(modules, "aflora")], project);
    await symlink("../aflora/dist/cli/main.js", join(modules, ".bin", "aflora"));
    await ran("chmod", ["+x", join(modules, "aflora/dist/cli/main.js")], project);
    return false;
  }
}

/** Type-checks programs of a project with this repository's TypeScript. */
export function typeChecks(files: readonly string[], project: string, flags: readonly string[]): Promise<string> {
  const strict = ["--noEmit", "--strict", "--target", "es2023", "--skipLibCheck", "false"];
  const types = ["--types", "node", "--typeRoots", module("@types"), "--allowImportingTsExtensions"];
  return ran(process.execPath, [module("typescript/bin/tsc"), ...strict, ...types, ...flags, ...files], project);
}

/** What Node imports first to run TypeScript, as `npx tsx` would. */
export const LOADER = new URL("../../node_modules/tsx/dist/loader.mjs", import.meta.url).href;

/** Runs a TypeScript program of a project. */
export function runs(file: string, project: string): Promise<string> {
  return ran(process.execPath, ["--import", LOADER, file], project);
}
