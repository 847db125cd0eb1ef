import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { METHODS } from "../src/methods/methods.ts";
import { TASK_KINDS } from "../src/tasks/task-kinds.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Where a program of the reader's would stand. */
const FILE = `${ROOT}test/program.ts`;

const config = ts.readConfigFile(`${ROOT}tsconfig.json`, ts.sys.readFile).config;
const { options } = ts.convertCompilerOptionsFromJson({ ...config.compilerOptions, noUnusedLocals: false }, ROOT);
let before: ts.Program | undefined;

/** What the compiler says of a program that uses the package, line by line. */
function errorsOf(text: string): string[] {
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.fileExists = (file) => file === FILE || fileExists(file);
  host.readFile = (file) => (file === FILE ? text : readFile(file));
  host.getSourceFile = (file, ...given) =>
    file === FILE
      ? ts.createSourceFile(file, text, ts.ScriptTarget.ES2023)
      : (before?.getSourceFile(file) ?? getSourceFile(file, ...given));
  const program = ts.createProgram([FILE], options, host, before);
  before = program;
  return program
    .getSemanticDiagnostics(program.getSourceFile(FILE))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
}

const fineTune = (given: string): string =>
  `import { fineTune } from "aflora";\nawait fineTune({ train: "a.csv", ${given} });`;

describe("options of fineTune", () => {
  test.each(METHODS.names)("method %s type-checks", (name) => {
    expect(errorsOf(fineTune(`method: "${name}", epochs: 3`))).toEqual([]);
  });

  test("a method's own options are known, with and without its name", () => {
    expect(errorsOf(fineTune('freezeRule: "matrix-fraction"'))).toEqual([]);
    expect(errorsOf(fineTune('method: "lora", rank: 4, alpha: 8'))).toEqual([]);
  });

  test.each([
    ["epohcs: 3", "epohcs"],
    ['method: "lora", rnk: 4', "rnk"],
    ['method: "head", epohcs: 3', "epohcs"],
    ['method: "full", rank: 3', "rank"],
    ['method: "lora", freezeRule: "matrix-fraction"', "freezeRule"],
  ])("{ %s } is refused by the option's name", (given, option) => {
    const errors = errorsOf(fineTune(given));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(new RegExp(`Object literal may only specify known properties, (and|but) '${option}'`));
  });

  test("options of kinds of task are known, and those that a program declares", () => {
    expect(errorsOf(fineTune('loss: "triplet", margin: 0.3'))).toEqual([]);
    expect(errorsOf(fineTune('loss: "triplets"')).join()).toContain("Did you mean '\"triplet\"'");
    const declared = 'declare module "aflora/extend" { interface TaskOptions { levels?: number } }\n';
    expect(errorsOf(declared + fineTune("levels: 3"))).toEqual([]);
    expect(errorsOf(fineTune("levels: 3"))[0]).toContain("'levels'");
  });

  test("options of every kind of task are known", () => {
    const configs = TASK_KINDS.all.map(({ name, options: schema = z.object({}) }) => {
      const values = Object.entries(z.toJSONSchema(schema).properties!).map(([option, property]) => {
        const { enum: choices, const: only, type } = property as { enum?: string[]; const?: string; type?: string };
        return `${option}: ${JSON.stringify(choices?.[0] ?? only ?? { string: "1", boolean: true }[type!] ?? 1)}`;
      });
      return [`kind: "${name}"`, ...values].join(", ");
    });
    expect(configs.join()).toContain("augmentation: ");
    expect(
      errorsOf(
        configs
          .map(fineTune)
          .join("\n")
          .replaceAll(/(?<=\n)import .*/g, ""),
      ),
    ).toEqual([]);
  });

  test("a kind that nobody declared is refused", () => {
    expect(errorsOf(fineTune('kind: "classify"')).join()).toContain('"classify"');
    const page = (kind: string): string =>
      `import { fineTune } from "aflora/web";\nawait fineTune({ model: "/m/", train: { name: "a.csv", text: "" }, kind: "${kind}" });`;
    expect(errorsOf(page("classification"))).toEqual([]);
    expect(errorsOf(page("classify")).join()).toContain('"classify"');
  });

  test("a run needs data, of one source", () => {
    const all = (configs: string[]): string[] =>
      errorsOf(
        `import { fineTune } from "aflora";\n${configs.map((each) => `await fineTune({ ${each} });\n`).join("")}`,
      );
    const train = 'train: "a.csv"';
    const sources = [
      'task: "cola", data: "glue"',
      'dataset: "a/glue", datasetConfig: "cola"',
      `${train}, validation: "b.csv"`,
    ];
    expect(all(sources)).toEqual([]);
    const wrong = [
      'text: "message"',
      'text: "message", output: "runs/a"',
      'task: "cola"',
      `${train}, dataset: "a/glue"`,
    ];
    expect(all(wrong)).toHaveLength(wrong.length);
  });

  test("a run that resumes needs its folder alone", () => {
    const resume = (config: string): string[] =>
      errorsOf(`import { fineTune } from "aflora";\nawait fineTune(${config}, { resume: true });`);
    expect(resume('{ output: "runs/a", threads: 2 }')).toEqual([]);
    expect(resume("{ threads: 2 }")).toHaveLength(1);
  });

  test("a method that nobody declared is refused; one that a program declares is checked", () => {
    expect(errorsOf(fineTune('method: "ia3"')).join()).toContain('"ia3"');
    const declared =
      'declare module "aflora/extend" { interface MethodOptions { ia3: { targetModules?: string[] } } }\n';
    expect(errorsOf(declared + fineTune('method: "ia3", targetModules: ["key"]'))).toEqual([]);
    expect(errorsOf(declared + fineTune('method: "ia3", rank: 4'))[0]).toContain("'rank' does not exist");
  });
});

test("a device that nobody declared is refused; one that a program declares is known", () => {
  expect(errorsOf(fineTune('device: "webgpu"'))).toEqual([]);
  expect(errorsOf(fineTune('device: "npu"')).join()).toContain('"npu"');
  const declared =
    'import type { Device } from "aflora/extend";\ndeclare module "aflora/extend" { interface Devices { npu: Device } }\n';
  expect(errorsOf(declared + fineTune('device: "npu"'))).toEqual([]);
});

const predict = (kind: string, use: string): string =>
  `import { loadFineTunedModel } from "aflora";
const model = (await loadFineTunedModel("run")).ofKind("${kind}");
const one = await model.predict("a text");
const [first] = await model.predict(["a text"]);
${use}`;

describe("predictions have the type of their kind of task", () => {
  test("every kind has a type", () => {
    const uses = TASK_KINDS.names.map((name) => `await model.ofKind("${name}").predict("a text");`);
    expect(
      errorsOf(
        `import { loadFineTunedModel } from "aflora";\nconst model = await loadFineTunedModel("run");\n${uses.join("\n")}`,
      ),
    ).toEqual([]);
  });

  test.each([
    ["classification", "const label: string = one.label; const p: number = first!.labels[0]!.probability;"],
    ["regression", "const value: number = one.value + first!.value;"],
    ["multi-label", "const label: string = one.labels[0]!.label;"],
    ["token-classification", "const span: number = one.words[0]!.start + first!.entities[0]!.end;"],
  ])("%s", (kind, use) => {
    expect(errorsOf(predict(kind, use))).toEqual([]);
    expect(errorsOf(predict(kind, "one.level;")).join()).toContain("Property 'level' does not exist");
  });

  test("a kind that a program declares; one that nobody does is refused", () => {
    const declared = 'declare module "aflora/extend" { interface TaskPredictions { levels: { level: string } } }\n';
    const use = "const level: string = one.level + first!.level;";
    expect(errorsOf(declared + predict("levels", use))).toEqual([]);
    expect(errorsOf(predict("levels", use)).join()).toContain('"levels"');
    expect(errorsOf(declared + fineTune('kind: "levels"'))).toEqual([]);
  });
});
