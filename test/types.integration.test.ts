import { fileURLToPath } from "node:url";
import ts from "typescript";
import { beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { METHODS } from "../src/methods/methods.ts";
import { TASK_KINDS } from "../src/tasks/task-kinds.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SOURCE = `${ROOT}src/`;
const ENTRANCES = {
  aflora: "index.ts",
  "aflora/extend": "extend.ts",
  "aflora/web": "web.ts",
  "aflora/predict": "predict.ts",
  "aflora/predict/web": "predict-web.ts",
};

const config = ts.readConfigFile(`${ROOT}tsconfig.json`, ts.sys.readFile).config;
const { options } = ts.convertCompilerOptionsFromJson({ ...config.compilerOptions, noUnusedLocals: false }, ROOT);

/** Parsed files, which compilations share. */
const parsed = new Map<string, ts.SourceFile | undefined>();

/** Programs that use the package, in one compilation: the package's types are checked once for all. */
class Programs {
  /** By the file in which a reader's program would be. */
  readonly #texts = new Map<string, string>();
  #compiled: ts.Program | undefined;

  /** Adds a program. @returns the compiler's errors about it, to be read when all programs are added */
  add(text: string): () => string[] {
    const file = `${ROOT}test/program-${this.#texts.size}.ts`;
    this.#texts.set(file, text);
    return () =>
      this.compile()
        .getSemanticDiagnostics(this.compile().getSourceFile(file))
        .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
  }

  /** Compiles the programs with the package's entrances. */
  compile(): ts.Program {
    if (this.#compiled) return this.#compiled;
    const host = ts.createCompilerHost(options);
    const { getSourceFile, fileExists, readFile } = host;
    host.fileExists = (file) => this.#texts.has(file) || fileExists(file);
    host.readFile = (file) => this.#texts.get(file) ?? readFile(file);
    host.getSourceFile = (file, ...given) => {
      const text = this.#texts.get(file);
      if (text !== undefined) return ts.createSourceFile(file, text, ts.ScriptTarget.ES2023);
      if (!parsed.has(file)) parsed.set(file, getSourceFile(file, ...given));
      return parsed.get(file);
    };
    const entrances = Object.values(ENTRANCES).map((name) => SOURCE + name);
    this.#compiled = ts.createProgram([...entrances, ...this.#texts.keys()], options, host);
    return this.#compiled;
  }
}

const plain = new Programs();
/** Programs of which some declare parts of their own: a declaration holds in the whole compilation. */
const declaring = new Programs();

/** A test that programs compile. */
function compiles(title: string, programs: readonly string[], all = plain): void {
  const errors = programs.map((program) => all.add(program));
  test(title, () => expect(errors.flatMap((each) => each())).toEqual([]));
}

/** A test that a program does not compile, and that each error has a text. */
function isRefused(title: string, program: string, messages: readonly (string | RegExp)[], all = plain): void {
  const errors = all.add(program);
  test(title, () => {
    const found = errors();
    expect(found).toHaveLength(messages.length);
    for (const [i, message] of messages.entries()) expect(found[i]).toMatch(message);
  });
}

const configured = (...configs: string[]): string =>
  `import { fineTune } from "aflora";\n${configs.map((each) => `await fineTune({ ${each} });\n`).join("")}`;
const fineTune = (given: string): string => configured(`train: "a.csv", ${given}`);
const extending = (declaration: string): string => `declare module "aflora/extend" { ${declaration} }\n`;

describe("options of fineTune", () => {
  for (const name of METHODS.names) compiles(`method ${name} type-checks`, [fineTune(`method: "${name}", epochs: 3`)]);

  compiles("a method's own options are known, with and without its name", [
    fineTune("useDora: true"),
    fineTune('method: "lora", rank: 4, alpha: 8'),
  ]);

  for (const [given, option] of [
    ["epohcs: 3", "epohcs"],
    ['method: "lora", rnk: 4', "rnk"],
    ['method: "head", epohcs: 3', "epohcs"],
    ['method: "full", rank: 3', "rank"],
    ['method: "lora", freezeRule: "matrix-fraction"', "freezeRule"],
  ] as const) {
    isRefused(`{ ${given} } is refused by the option's name`, fineTune(given), [
      new RegExp(`Object literal may only specify known properties, (and|but) '${option}'`),
    ]);
  }

  compiles("a kind of task's own options are known", [fineTune('loss: "triplet", margin: 0.3')]);
  isRefused("a wrong choice is answered with the nearest", fineTune('loss: "triplets"'), [
    "Did you mean '\"triplet\"'",
  ]);
  isRefused("an option that no kind of task declares is refused", fineTune("levels: 3"), ["'levels'"]);
  const levels = extending("interface TaskOptions { levels?: number }");
  compiles("an option that a program declares is known", [levels + fineTune("levels: 3")], declaring);

  const ofEveryKind = TASK_KINDS.all.map(({ name, options: schema = z.object({}) }) => {
    const values = Object.entries(z.toJSONSchema(schema).properties!).map(([option, property]) => {
      const { enum: choices, const: only, type } = property as { enum?: string[]; const?: string; type?: string };
      return `${option}: ${JSON.stringify(choices?.[0] ?? only ?? { string: "1", boolean: true }[type!] ?? 1)}`;
    });
    return ['train: "a.csv"', `kind: "${name}"`, ...values].join(", ");
  });
  test("some kind has an option with built-in parts", () => expect(ofEveryKind.join()).toContain("augmentation: "));
  compiles("options of every kind of task are known", [configured(...ofEveryKind)]);

  const page = (kind: string): string =>
    `import { fineTune } from "aflora/web";\nawait fineTune({ model: "/m/", train: { name: "a.csv", text: "" }, kind: "${kind}" });`;
  compiles("a kind of task is known in a page", [page("classification")]);
  isRefused("a kind that nobody declared is refused", fineTune('kind: "classify"'), ['"classify"']);
  isRefused("a kind that nobody declared is refused in a page", page("classify"), ['"classify"']);

  const train = 'train: "a.csv"';
  const sources = [
    'task: "cola", data: "glue"',
    'dataset: "a/glue", datasetConfig: "cola"',
    `${train}, validation: "b.csv"`,
  ];
  compiles("a run has data of one source", [configured(...sources)]);
  const wrong = ['text: "message"', 'text: "message", output: "runs/a"', 'task: "cola"', `${train}, dataset: "a/glue"`];
  isRefused(
    "a run without data, or with two sources, is refused",
    configured(...wrong),
    wrong.map(() => /./),
  );

  const resume = (config: string): string =>
    `import { fineTune } from "aflora";\nawait fineTune(${config}, { resume: true });`;
  compiles("a run that resumes needs its folder alone", [resume('{ output: "runs/a", threads: 2 }')]);
  isRefused("a run that resumes needs its folder", resume("{ threads: 2 }"), [/./]);

  isRefused("a method that nobody declared is refused", fineTune('method: "ia3"'), ['"ia3"']);
  const ia3 = extending("interface MethodOptions { ia3: { targetModules?: string[] } }");
  const usesIa3 = (option: string): string => ia3 + fineTune(`method: "ia3", ${option}`);
  compiles("a method that a program declares is known", [usesIa3('targetModules: ["key"]')], declaring);
  isRefused("its options are checked", usesIa3("rank: 4"), ["'rank' does not exist"], declaring);
});

describe("devices", () => {
  compiles("those of the package are known", [fineTune('device: "webgpu"')]);
  isRefused("one that nobody declared is refused", fineTune('device: "npu"'), ['"npu"']);
  const npu = `import type { Device } from "aflora/extend";\n${extending("interface Devices { npu: Device }")}`;
  compiles("one that a program declares is known", [npu + fineTune('device: "npu"')], declaring);
});

const predict = (kind: string, use: string): string =>
  `import { loadFineTunedModel } from "aflora";
const model = (await loadFineTunedModel("run")).ofKind("${kind}");
const one = await model.predict("a text");
const [first] = await model.predict(["a text"]);
${use}`;

describe("predictions have the type of their kind of task", () => {
  const uses = TASK_KINDS.names.map((name) => `await model.ofKind("${name}").predict("a text");\n`);
  compiles("every kind has a type", [
    `import { loadFineTunedModel } from "aflora";\nconst model = await loadFineTunedModel("run");\n${uses.join("")}`,
  ]);

  for (const [kind, use] of [
    ["classification", "const label: string = one.label; const p: number = first!.labels[0]!.probability;"],
    ["regression", "const value: number = one.value + first!.value;"],
    ["multi-label", "const label: string = one.labels[0]!.label;"],
    ["token-classification", "const span: number = one.words[0]!.start + first!.entities[0]!.end;"],
  ] as const) {
    compiles(kind, [predict(kind, use)]);
    isRefused(`${kind}: a property of another kind is refused`, predict(kind, "one.level;"), [
      "Property 'level' does not exist",
    ]);
  }

  const levels = extending("interface TaskPredictions { levels: { level: string } }");
  const use = "const level: string = one.level + first!.level;";
  compiles(
    "a kind that a program declares is known",
    [levels + predict("levels", use), levels + fineTune('kind: "levels"')],
    declaring,
  );
  isRefused("a kind that nobody declared is refused", predict("levels", use), ['"levels"', /./, /./]);
});

describe("exports", () => {
  let checker: ts.TypeChecker;
  let entrances: { name: string; exports: [name: string, symbol: ts.Symbol][] }[];
  beforeAll(() => {
    const program = plain.compile();
    checker = program.getTypeChecker();
    entrances = Object.entries(ENTRANCES).map(([name, file]) => {
      const module = checker.getSymbolAtLocation(program.getSourceFile(SOURCE + file)!)!;
      return { name, exports: exportsOf(module) };
    });
  });

  /** The declared thing behind an import or a re-export. */
  const original = (symbol: ts.Symbol): ts.Symbol =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const isModule = (symbol: ts.Symbol): boolean => symbol.declarations?.some(ts.isSourceFile) ?? false;

  /** Everything that a module exports, by name; names in namespaces have the namespace's name before them. */
  function exportsOf(module: ts.Symbol, before = ""): [name: string, symbol: ts.Symbol][] {
    return checker.getExportsOfModule(module).flatMap((exported): [string, ts.Symbol][] => {
      const symbol = original(exported);
      const name = before + exported.name;
      return isModule(symbol) ? exportsOf(symbol, `${name}.`) : [[name, symbol]];
    });
  }

  const isOurs = (node: ts.Node): boolean => node.getSourceFile().fileName.startsWith(SOURCE);
  const isHidden = (node: ts.Node): boolean =>
    ts.getJSDocTags(node).some(({ tagName }) => tagName.text === "internal") ||
    (ts.canHaveModifiers(node) &&
      (ts.getCombinedModifierFlags(node as ts.Declaration) & ts.ModifierFlags.Private) > 0) ||
    (ts.isClassElement(node) && node.name !== undefined && ts.isPrivateIdentifier(node.name));

  /** The symbols that a declaration's types name, in signatures and in public members, inherited ones too. */
  function namedIn(declaration: ts.Declaration): Set<ts.Symbol> {
    const found = new Set<ts.Symbol>();
    const seen = new Set<ts.Node>();
    const visitOnce = (node: ts.Node): void => {
      if (seen.has(node)) return;
      seen.add(node);
      visit(node);
    };
    const visit = (node: ts.Node | undefined): void => {
      if (!node || isHidden(node)) return;
      if (ts.isFunctionLike(node)) {
        for (const part of [...(node.typeParameters ?? []), ...node.parameters]) visit(part);
        visit(node.type);
      } else if (ts.isParameter(node)) visit(node.type);
      else if (ts.isPropertyDeclaration(node) || ts.isVariableDeclaration(node)) visit(node.type ?? node.initializer);
      else if (ts.isTypeReferenceNode(node)) {
        const symbol = original(checker.getSymbolAtLocation(node.typeName)!);
        const [alias] = symbol.declarations ?? [];
        // TypeScript resolves an alias that only its own file knows.
        if (alias && ts.isTypeAliasDeclaration(alias) && isOurs(alias) && !isExported(alias)) visitOnce(alias);
        else found.add(symbol);
        node.typeArguments?.forEach(visit);
      } else if (ts.isTypeNode(node) || ts.isClassElement(node) || ts.isTypeElement(node) || declares(node)) {
        ts.forEachChild(node, visit);
      }
    };
    visit(declaration);
    if (ts.isInterfaceDeclaration(declaration) || ts.isClassDeclaration(declaration)) {
      const members = checker.getPropertiesOfType(checker.getTypeAtLocation(declaration));
      for (const member of members) for (const each of member.declarations ?? []) if (isOurs(each)) visit(each);
    }
    return found;
  }
  const isExported = (node: ts.Declaration): boolean =>
    (ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Export) > 0;
  const declares = (node: ts.Node): boolean =>
    [ts.isClassLike, ts.isInterfaceDeclaration, ts.isTypeAliasDeclaration, ts.isTypeParameterDeclaration].some((is) =>
      is(node),
    );

  test("a program can name every type that it passes to the package or gets from it", () => {
    const nameable = new Set(entrances.flatMap(({ exports }) => exports.map(([, symbol]) => symbol)));
    const unnamed = entrances.flatMap(({ name: entrance, exports }) =>
      exports.flatMap(([name, symbol]) =>
        (symbol.declarations ?? [])
          .filter(isOurs)
          .flatMap((declaration) => [...namedIn(declaration)])
          .filter((type) => !(type.flags & ts.SymbolFlags.TypeParameter) && type.declarations?.some(isOurs))
          .filter((type) => !nameable.has(type))
          .map((type) => `${type.name} of ${name} in ${entrance}`),
      ),
    );
    expect(unnamed).toEqual([]);
  });

  test("a name is exported by one of the entrances for Node, and once", () => {
    const [program, extend] = entrances as [(typeof entrances)[0], (typeof entrances)[0]];
    const both = program.exports.filter(([, symbol]) => extend.exports.some(([, other]) => other === symbol));
    expect(both.map(([name]) => name)).toEqual([]);
    for (const { exports } of entrances) expect(exports.length).toBe(new Set(exports.map(([, symbol]) => symbol)).size);
  });

  test("each export has a docstring", () => {
    const undocumented = entrances.flatMap(({ name: entrance, exports }) =>
      exports
        .filter(([, symbol]) => symbol.getDocumentationComment(checker).length === 0)
        .map(([name]) => `${name} in ${entrance}`),
    );
    expect(undocumented).toEqual([]);
  });
});
