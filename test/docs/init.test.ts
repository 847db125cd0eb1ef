import { cp, readFile, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, expect, inject, test } from "vitest";
import { LOADER, ran, typeChecks } from "./project.ts";
import { TIMEOUT } from "./walk.ts";

const { project } = inject("installation");
const folders = new Map<string, string>();
afterAll(() => Promise.all([...folders.values()].map((folder) => rm(folder, { recursive: true }))));

test.each([
  ["classification", /accuracy .*report: .*report\.html/, /^(cancel|keep) \d\.\d{3}/],
  ["search", /the right text comes first for \d+ % of .*report: .*report\.html/, /^-?\d\.\d{3} \w/],
  ["chat", /perplexity .*report: .*report\.html/, /\n$/],
] as const)(
  "aflora init %s writes a project that trains and predicts",
  async (kind, trained, predicted) => {
    const aflora = join(project, "node_modules/aflora/dist/cli/main.js");
    const folder = join(project, "..", `my-${kind}`);
    await ran(process.execPath, [aflora, "init", kind, folder], project);
    folders.set(kind, folder);
    await symlink(join(project, "node_modules"), join(folder, "node_modules"));
    const { dependencies } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    expect(dependencies.aflora).toMatch(/^\^\d|^file:\/.*\.tgz$/);
    expect(await readFile(join(folder, ".npmrc"), "utf8")).toContain("ignore-scripts=true");
    expect(await readFile(join(folder, "pnpm-workspace.yaml"), "utf8")).toContain("onnxruntime-node: false");
    expect(await readFile(join(folder, ".yarnrc.yml"), "utf8")).toContain("nodeLinker: node-modules");

    await cp(join(project, "HuggingFaceTB/SmolLM2-135M-Instruct"), join(folder, "model"), { recursive: true });
    const env = { ...process.env, MODEL: "model" };
    const run = (file: string) => ran(process.execPath, ["--import", LOADER, file], folder, env);
    expect(await run("train.ts")).toMatch(trained);
    expect(await run("predict.ts")).toMatch(predicted);
    await expect(ran(process.execPath, [aflora, "init", kind, folder], project)).rejects.toThrow("already has files");
  },
  TIMEOUT,
);

test(
  "programs of all these projects type-check",
  async () => {
    expect([...folders.keys()]).toEqual(["classification", "search", "chat"]);
    const programs = [...folders.values()].flatMap((folder) => [join(folder, "train.ts"), join(folder, "predict.ts")]);
    // package.test.ts checks the package's own types.
    const flags = ["--ignoreConfig", "--module", "nodenext", "--skipLibCheck", "true"];
    await typeChecks(programs, project, flags);
  },
  TIMEOUT,
);
