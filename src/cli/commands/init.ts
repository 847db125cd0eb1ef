import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp, readdir, stat, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Argument, Command } from "commander";
import { UserError } from "../../errors.ts";
import { makeFolder } from "../../files/atomic-file-node.ts";
import { addExamples } from "../help.ts";
import { print } from "../terminal/print.ts";
import { packageVersion } from "../version.ts";

const EXAMPLES = ["aflora init classification", "aflora init search my-search", "aflora init chat my-chat"];

const NOTE = `A project has train.ts, predict.ts, example data and a package.json. chat downloads a model from
the Hugging Face hub.`;

const inPackage = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** Kinds of project, each a folder in templates/. */
const PROJECTS = readdirSync(inPackage("templates")).sort();

/** `aflora init` */
export function initCommand(): Command {
  const command = new Command("init")
    .addArgument(new Argument("<kind>", "what the project does").choices(PROJECTS))
    .argument("[folder]", "new folder for the project (default: my-<kind>)");
  return addExamples(command, EXAMPLES, NOTE).action(async (kind: string, folder = `my-${kind}`) => {
    const directory = resolve(folder);
    const found = await stat(directory).catch(() => undefined);
    if (found && !found.isDirectory())
      throw new UserError(`${folder} is a file; name a new folder, as in aflora init ${kind} my-project`);
    if (found && (await readdir(directory)).length > 0)
      throw new UserError(`${folder} already has files; name a new folder, as in aflora init ${kind} my-project`);
    await makeFolder(directory);
    await cp(inPackage(`templates/${kind}`), directory, { recursive: true });
    for (const [name, text] of Object.entries(settingsOf(directory))) await writeFile(join(directory, name), text);
    print(`${folder} is written. Next:\n\n  cd ${folder}\n  npm install\n  npm run train\n  npm run predict\n`);
  });
}

/** Settings files of a project. Its installation must not download onnxruntime-node's CUDA files. */
function settingsOf(directory: string): Record<string, string> {
  const manifest = {
    name: basename(directory)
      .toLowerCase()
      .replace(/[^a-z0-9-]+/g, "-"),
    private: true,
    type: "module",
    scripts: { train: "tsx train.ts", predict: "tsx predict.ts" },
    dependencies: { aflora: specifier() },
    devDependencies: { "@types/node": "^20.19.0", tsx: "^4.23.0", typescript: "^6.0.0" },
  };
  const compiler = { module: "nodenext", target: "es2023", strict: true, noEmit: true, types: ["node"] };
  return {
    "package.json": `${JSON.stringify(manifest, null, 2)}\n`,
    "tsconfig.json": `${JSON.stringify({ compilerOptions: compiler }, null, 2)}\n`,
    ".npmrc":
      "# No package here needs an install script, and onnxruntime-node's downloads files for CUDA.\nignore-scripts=true\n",
    "pnpm-workspace.yaml": "allowBuilds:\n  esbuild: true\n  onnxruntime-node: false\n",
    // Plug'n'Play's file handles cannot be flushed to the disk.
    ".yarnrc.yml": "nodeLinker: node-modules\n",
    ".gitignore": "node_modules/\nruns/\n",
  };
}

/** Version for npm to install: the tarball or folder that the current project uses for aflora, or this version. */
function specifier(): string {
  const manifest = resolve("package.json");
  const text = existsSync(manifest) ? readFileSync(manifest, "utf8") : "";
  const [, file] = /"aflora"\s*:\s*"file:([^"]+)"/.exec(text) ?? [];
  return file === undefined ? `^${packageVersion()}` : `file:${resolve(file)}`;
}
