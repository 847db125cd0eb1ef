import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { z } from "zod";
import { METHODS } from "../src/methods/methods.ts";
import { runOptions } from "../src/preparation/run-options-node.ts";
import { markdownTable } from "../src/reports/markdown-table.ts";

const SOURCES = fileURLToPath(new URL("../src", import.meta.url));

/** Where a page has a table of a method's options, or of the run's options whose names have a beginning (`freezeBlocks*`). */
const OPTIONS = /(<!-- options of ([\w-]+)(\*?)(?:, without ([\w, ]+))? -->\n)[\s\S]*?(\n<!-- end of options -->)/g;

/** Where a page lists an interface's fields. */
const FIELDS = /(<!-- fields of (\w+) -->\n)[\s\S]*?(\n<!-- end of fields -->)/g;

/** A page with its tables of options and lists of fields made again: options from their schemas, fields from the comments of their types. */
export function withOptions(page: string): string {
  return page
    .replace(OPTIONS, (_, start: string, name: string, many: string, without: string | undefined, end: string) => {
      const left = without?.split(", ") ?? [];
      return `${start}\n${many ? optionTable(runOptions, left, name) : optionTable(METHODS.find(name).options, left)}\n${end}`;
    })
    .replace(FIELDS, (_, start: string, name: string, end: string) => `${start}\n${fieldList(name)}\n${end}`);
}

/**
 * The table of a schema's options: name, default, meaning.
 * @param without names of options to leave out
 * @param beginning of the names of the options to show
 */
export function optionTable(schema: z.ZodObject, without: readonly string[] = [], beginning = ""): string {
  const { properties } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  const names = Object.keys(schema.shape).filter((name) => name.startsWith(beginning) && !without.includes(name));
  const rows = names.map((name) => {
    const { description = "", default: given, enum: values } = properties![name] as z.core.JSONSchema.BaseSchema;
    const [, meaning, told] = /^(.*?)(?: \(default: (.*)\))?$/s.exec(description)!;
    const words =
      values === undefined ? "" : `${meaning ? "; " : ""}${values.map((value) => `\`${value}\``).join(", ")}`;
    return [`\`${name}\``, String(given ?? told ?? ""), `${meaning}${words}`];
  });
  return markdownTable([["option", "default", "meaning"], ...rows]);
}

/** The list of an interface's fields, with those of the interfaces that it extends: each with its comment, or else with its type. */
const fieldList = (name: string): string =>
  fieldsOf(name)
    .filter(([field]) => field !== "kind")
    .map(([field, meaning]) => `- \`${field}\`: ${meaning}`)
    .join("\n");

function fieldsOf(name: string): [field: string, meaning: string][] {
  const declared = interfaceNamed(name);
  const inherited = declared.heritageClauses?.flatMap(({ types }) =>
    types.map(({ expression }) => expression.getText()),
  );
  const own = declared.members.filter(ts.isPropertySignature).map((member): [string, string] => {
    const comment = ts.getTextOfJSDocComment(ts.getJSDocCommentsAndTags(member)[0]?.comment);
    return [member.name.getText(), comment?.replace(/\s+/g, " ").replace(/\.$/, "") ?? `\`${member.type!.getText()}\``];
  });
  return [...own, ...(inherited ?? []).flatMap(fieldsOf)];
}

function interfaceNamed(name: string): ts.InterfaceDeclaration {
  for (const file of readdirSync(SOURCES, { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".ts")) continue;
    const text = readFileSync(join(SOURCES, file), "utf8");
    if (!text.includes(`interface ${name} `)) continue;
    const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
    const found = source.statements.filter(ts.isInterfaceDeclaration).find((each) => each.name.text === name);
    if (found) return found;
  }
  throw new Error(`no file of src/ declares the interface ${name}, whose fields a page of docs/ lists`);
}
