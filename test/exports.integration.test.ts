import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SOURCE = `${ROOT}src/`;
const ENTRANCES = {
  aflora: "src/index.ts",
  "aflora/extend": "src/extend.ts",
  "aflora/web": "src/web.ts",
  "aflora/predict": "src/predict.ts",
  "aflora/predict/web": "src/predict-web.ts",
};

const config = ts.readConfigFile(`${ROOT}tsconfig.build.json`, ts.sys.readFile).config;
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
const program = ts.createProgram(
  Object.values(ENTRANCES).map((file) => ROOT + file),
  options,
);
const checker = program.getTypeChecker();

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
const entrances = Object.entries(ENTRANCES).map(([name, file]) => {
  const module = checker.getSymbolAtLocation(program.getSourceFile(ROOT + file)!)!;
  return { name, exports: exportsOf(module) };
});
const nameable = new Set(entrances.flatMap(({ exports }) => exports.map(([, symbol]) => symbol)));

const isOurs = (node: ts.Node): boolean => node.getSourceFile().fileName.startsWith(SOURCE);
const isHidden = (node: ts.Node): boolean =>
  ts.getJSDocTags(node).some(({ tagName }) => tagName.text === "internal") ||
  (ts.canHaveModifiers(node) && (ts.getCombinedModifierFlags(node as ts.Declaration) & ts.ModifierFlags.Private) > 0) ||
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
const isExported = (node: ts.Declaration): boolean => (ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Export) > 0;
const declares = (node: ts.Node): boolean =>
  [ts.isClassLike, ts.isInterfaceDeclaration, ts.isTypeAliasDeclaration, ts.isTypeParameterDeclaration].some((is) =>
    is(node),
  );

test("a program can name every type that it passes to the package or gets from it", () => {
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
