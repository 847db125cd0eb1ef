import { cp, readFile, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, inject, onTestFinished, test } from "vitest";
import { LOADER, ran, typeChecks } from "./project.ts";
import { TIMEOUT } from "./walk.ts";

test.each([
  ["classification", /accuracy .*report: .*report\.html/, /^billing|^account|^shipping|^technical/],
  ["search", /ndcg_at_10/, /^-?\d\.\d{3} \w/],
  ["chat", /perplexity .*report: .*report\.html/, /\n$/],
] as const)(
  "aflora init %s writes a project that trains, predicts and type-checks",
  async (kind, trained, predicted) => {
    const { project } = inject("installation");
    const aflora = join(project, "node_modules/aflora/dist/cli/main.js");
    const folder = join(project, "..", `my-${kind}`);
    await ran(process.execPath, [aflora, "init", kind, folder], project);
    onTestFinished(() => rm(folder, { recursive: true }));
    await symlink(join(project, "node_modules"), join(folder, "node_modules"));
    const { dependencies, allowScripts } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    expect(dependencies.aflora).toMatch(/^\^\d|^file:\/.*\.tgz$/);
    expect(allowScripts["onnxruntime-node"]).toBe(false);
    expect(await readFile(join(folder, ".npmrc"), "utf8")).toContain("onnxruntime-node-install=skip");
    expect(await readFile(join(folder, "pnpm-workspace.yaml"), "utf8")).toContain("onnxruntime-node: false");
    expect(await readFile(join(folder, ".yarnrc.yml"), "utf8")).toContain("nodeLinker: node-modules");

    await cp(join(project, "SmolLM2-135M-Instruct"), join(folder, "model"), { recursive: true });
    const env = { ...process.env, MODEL: "model" };
    const run = (file: string) => ran(process.execPath, ["--import", LOADER, file], folder, env);
    expect(await run("train.ts")).toMatch(trained);
    expect(await run("predict.ts")).toMatch(predicted);
    await typeChecks(["train.ts", "predict.ts"], folder, ["--ignoreConfig", "--module", "nodenext"]);
    await expect(ran(process.execPath, [aflora, "init", kind, folder], project)).rejects.toThrow("already has files");
  },
  TIMEOUT,
);
