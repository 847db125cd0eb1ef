import { execFile } from "node:child_process";
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { rewritings, writeTinyEncoderDecoder } from "../support/synthetic-rewriting.ts";
import { chats, questions, writeJsonl, writeTinyLanguageModel } from "../support/tiny-language-model.ts";
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

/** Builds aflora from the sources apart from `dist/`, which other tests may be running, and packs it. @returns the tarball */
export async function packed(folder: string): Promise<string> {
  const stage = join(folder, "stage");
  const { files } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as { files: string[] };
  // The whole of docs/, of which npm takes what is named.
  const sources = files.map((name) => name.split("/")[0]!).filter((name) => name !== "dist");
  const names = new Set(["package.json", "README.md", ...sources]);
  for (const name of names) await cp(join(ROOT, name), join(stage, name), { recursive: true });
  const build = ["-p", join(ROOT, "tsconfig.build.json"), "--noCheck", "--outDir", join(stage, "dist")];
  await ran(process.execPath, [module("typescript/bin/tsc"), ...build], ROOT);
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

/** Writes the data that the pages name into a project: few rows, and tickets.csv as a spreadsheet might have written it. */
export async function writeData(project: string): Promise<void> {
  const write = async (name: string, text: string): Promise<void> => {
    await mkdir(dirname(join(project, name)), { recursive: true });
    await writeFile(join(project, name), text);
  };
  const tickets = await readFile(join(ROOT, "examples/tickets.csv"), "utf8");
  await write("tickets.csv", messy(tickets));
  // As a spreadsheet writes it where a comma stands in numbers.
  const own = ['"My card was charged; twice";billing;no', '"The app\r\ndoes not open 😀";technical;yes'];
  await write("new.csv", `\ufeff${["message;team;urgent", ...own].join("\r\n")}\r\n`);

  const answers = ["yes", "no"].flatMap((label) =>
    [1, 2, 3].map((n) => JSON.stringify({ text: `Is ${n} a number?`, answer: `${label}, ${n}`, label })),
  );
  await write("train.jsonl", `${answers.join("\n")}\n`);
  await write("dev.jsonl", `${answers.slice(2, 4).join("\n")}\n`);
  const sentence = "Ada\tB-PER\nLovelace\tI-PER\nlived\tO\nin\tO\nLondon\tB-LOC\n";
  await write("news.conll", Array(10).fill(sentence).join("\n"));
  const stars = [1, 2, 3].flatMap((label) => [1, 2, 3, 4].map((n) => `"text ${n} of ${label} stars",${label}`));
  await write("reviews.csv", `text,label\n${stars.join("\n")}\n`);

  const pairs = ["entailment", "not_entailment"].flatMap((label, i) =>
    [1, 2].map((n) => `${i}${n}\tA man.\tOne ${n}.\t${label}`),
  );
  for (const split of ["train", "dev"]) {
    await write(`glue/RTE/${split}.tsv`, `index\tsentence1\tsentence2\tlabel\n${pairs.join("\n")}\n`);
    await write(
      `glue/CoLA/${split}.tsv`,
      "a\t1\t\tA man sleeps.\nb\t0\t*\tMan a sleeps.\nc\t1\t\tHe sings.\nd\t0\t*\tSings he a.\n",
    );
  }
  const reviews = [0, 1].flatMap((label) =>
    [1, 2, 3, 4, 5].map((n) => `film ${n} is ${label ? "good" : "bad"}\t${label}`),
  );
  for (const split of ["train", "dev"])
    await write(`glue/SST-2/${split}.tsv`, `sentence\tlabel\n${reviews.join("\n")}\n`);
  // Decoders of random weights stand for those that the pages name.
  for (const name of ["SmolLM2-135M", "SmolLM2-135M-Instruct", "Llama-2-7b-hf"]) {
    await writeTinyLanguageModel(join(project, name), { template: name.endsWith("Instruct") ? "smollm2" : null });
  }
  for (const [name, family] of [
    ["bart-base", "bart"],
    ["t5-small", "t5"],
  ] as const) {
    await writeTinyEncoderDecoder(join(project, name), family);
  }
  await writeJsonl(join(project, "articles.jsonl"), rewritings(40, 1));
  await write("new-articles.txt", "reverse ant bee\nshout cat\n");
  await write("bart-large/config.json", await readFile(join(ROOT, "test/fixtures/configs/bart-large.json"), "utf8"));
  await writeJsonl(join(project, "chat.jsonl"), chats(12));
  const asked = questions(12);
  const preferred = asked.map(({ prompt, completion }) => ({ prompt, chosen: completion, rejected: "No idea." }));
  await writeJsonl(join(project, "preferences.jsonl"), preferred);
  await writeJsonl(
    join(project, "prompts.jsonl"),
    asked.map(({ prompt }) => ({ prompt, city: "Zagreb" })),
  );
  await write("reward.ts", "export default (_: string, answer: string): number => answer.length;\n");
  await write(
    "pairs.csv",
    `question,answer\n${asked.map(({ prompt, completion }) => `"${prompt}","${completion}"`).join("\n")}\n`,
  );
  await write("questions.txt", "Where is the cat?\nWhere is the sea?\n");
  await mkdir(join(project, "gsm8k"));
  const solved = asked.map(({ prompt, completion }, i) => ({ question: prompt, answer: `${completion}\n#### ${i}` }));
  await writeJsonl(join(project, "gsm8k/train.jsonl"), solved);
  await writeJsonl(join(project, "gsm8k/test.jsonl"), solved.slice(0, 2));
  for (const config of ["config.json", "deberta-v3-base/config.json"]) {
    await write(config, await readFile(join(ROOT, "test/fixtures/configs/deberta-v3-base.json"), "utf8"));
  }
  for (const extension of ["tasks/ordinal-regression.ts", "outside/output-scales.ts"]) {
    const text = await readFile(join(ROOT, "test", extension), "utf8");
    await write(basename(extension), text.replaceAll('"../../src/index.ts"', '"aflora"'));
  }
}

/** The same rows with a byte-order mark, CRLF, quotes, emoji and cells of several lines. */
function messy(csv: string): string {
  const [header, ...rows] = csv.trimEnd().split("\n");
  const odd = [
    '"They said ""paid"" 😀,\r\nbut my card was charged twice",billing,no',
    '"Bonjour, où est\r\n\r\nmon colis ? 📦",shipping,yes',
  ];
  return `\ufeff${[header, ...odd, ...rows].join("\r\n")}\r\n`;
}

/** Keeps this many rows of each of the demo's files, so that it takes seconds. */
export async function shortenDemo(project: string, rows: number): Promise<void> {
  for (const split of ["train", "dev"]) {
    const file = join(project, "node_modules/aflora/assets/sst2", `${split}.tsv`);
    const lines = (await readFile(file, "utf8")).split("\n");
    await writeFile(file, `${lines.slice(0, rows + 1).join("\n")}\n`);
  }
}
