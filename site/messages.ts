/** Sentences in string literals of TypeScript sources: help, notes and errors. */
import ts from "typescript";

/** Literals of three words or more. What a template inserts is an ellipsis. */
export function messages(source: string): { start: number; text: string }[] {
  const file = ts.createSourceFile("source.ts", source, ts.ScriptTarget.Latest, true);
  const found: { start: number; text: string }[] = [];
  const visit = (node: ts.Node): void => {
    const text = textOf(node);
    if (text !== undefined && /\p{L} \p{L}+ \p{L}/u.test(text)) found.push({ start: node.getStart(file), text });
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

function textOf(node: ts.Node): string | undefined {
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return node.text;
  if (!ts.isTemplateExpression(node)) return undefined;
  return node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join("");
}
