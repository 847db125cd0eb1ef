import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";
import * as apps from "kubernetes-models/apps/v1";
import * as batch from "kubernetes-models/batch/v1";
import * as core from "kubernetes-models/v1";
import { expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { serveCommand } from "../src/cli/commands/serve.ts";
import { trainCommand } from "../src/cli/commands/train.ts";
import { workCommand } from "../src/cli/commands/work.ts";

const DEPLOY = fileURLToPath(new URL("../deploy/", import.meta.url));
const read = (file: string): string => readFileSync(join(DEPLOY, file), "utf8");

/** Published schemas of Kubernetes and KEDA, by API version. */
const SCHEMAS: Readonly<Record<string, unknown>> = {
  v1: core,
  "apps/v1": apps,
  "batch/v1": batch,
  "keda.sh/v1alpha1": keda,
};

interface Manifest {
  apiVersion: string;
  kind: string;
  spec?: { template?: { spec?: { containers?: Container[] } } };
}
interface Container {
  image: string;
  args?: string[];
  command?: string[];
}

const manifests = readdirSync(join(DEPLOY, "kubernetes"), { recursive: true, encoding: "utf8" }).filter(
  (file) => file.endsWith(".yaml") && !file.endsWith("kustomization.yaml"),
);
const documentsOf = (file: string): Manifest[] =>
  parseAllDocuments(read(join("kubernetes", file))).map((document) => document.toJS());

test.each(manifests)("%s is valid by the published schemas", (file) => {
  for (const manifest of documentsOf(file)) {
    const kinds = SCHEMAS[manifest.apiVersion] as Record<string, new (data: object) => { validate(): void }>;
    const Kind = kinds[manifest.kind]!;
    new Kind(manifest).validate();
  }
});

test("the kustomizations list every manifest", () => {
  const listed = ["kubernetes", "kubernetes/scaled"].flatMap((folder) =>
    (parse(read(join(folder, "kustomization.yaml"))) as { resources: string[] }).resources
      .filter((each) => each !== "..")
      .map((each) => join(folder, each).replace(/^kubernetes\//, "")),
  );
  expect(listed.sort()).toEqual([...manifests].sort());
});

/** Commands of aflora in the files, each as its arguments. */
function commands(): string[][] {
  const inKubernetes = manifests
    .flatMap(documentsOf)
    .flatMap(({ spec }) => spec?.template?.spec?.containers ?? [])
    .filter(({ image }) => image === "aflora")
    .flatMap(({ args, command }) => (command ? inShell(args!.join(" ")) : [args!]));
  const compose = parse(read("compose.yaml"), { merge: true }) as {
    services: Record<string, { image: string; command: string[] }>;
  };
  const inCompose = Object.values(compose.services)
    .filter(({ image }) => image === "aflora")
    .map(({ command }) => command);
  return [
    ...inKubernetes,
    ...inCompose,
    ...["slurm/work.sbatch", "skypilot.yaml"].flatMap((file) => inShell(read(file))),
  ];
}

const inShell = (text: string): string[][] =>
  [...text.matchAll(/(?:npx|exec) aflora ([^;\n]+)/g)].map(([, rest]) => rest!.trim().split(/\s+/));

test("every command has flags that aflora knows", () => {
  expect(commands().map(([name]) => name)).toEqual(expect.arrayContaining(["work", "train", "serve"]));
  for (const [name, ...args] of commands()) {
    const command = [serveCommand(), trainCommand(), workCommand()].find((each) => each.name() === name)!;
    const known = command.options.map(({ long }) => long);
    expect(known).toEqual(expect.arrayContaining(args.filter((each) => each.startsWith("--"))));
  }
});

test("the image copies folders that the package has", () => {
  const copied = [...read("Dockerfile").matchAll(/--from=build \/app\/(\S+)/g)].map(([, path]) => path!);
  expect(copied.length).toBeGreaterThan(3);
  const made = ["dist", "node_modules"];
  for (const path of copied) expect(made.includes(path) || existsSync(join(DEPLOY, "..", path)), path).toBe(true);
});

test("the script for SLURM is valid for bash", () => {
  execFileSync("bash", ["-n", join(DEPLOY, "slurm/work.sbatch")]);
});
