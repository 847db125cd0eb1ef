/** Comments of TypeScript sources, as text that can be checked. */
import ts from "typescript";

/** Comments of a source file. Each text has the length of the source up to the comment's end, so that indices are those of the file. */
export function comments(source: string): { start: number; text: string }[] {
  const file = ts.createSourceFile("source.ts", source, ts.ScriptTarget.Latest, true);
  const ranges: { start: number; text: string }[] = [];
  const visit = (node: ts.Node) => {
    if (ts.isJSDoc(node)) return;
    const children = node.getChildren(file);
    if (children.length > 0) for (const child of children) visit(child);
    else if (node.pos < node.getStart(file))
      ranges.push(...trivia(source.slice(node.pos, node.getStart(file)), node.pos));
  };
  visit(file);
  return ranges;
}

/** Comments between two tokens. Consecutive `//` lines are one comment. */
function trivia(text: string, offset: number): { start: number; text: string }[] {
  const scanner = ts.createScanner(ts.ScriptTarget.Latest, false, ts.LanguageVariant.Standard, text);
  const found: { start: number; text: string; line: boolean }[] = [];
  let newLines = 0;
  for (let kind = scanner.scan(); kind !== ts.SyntaxKind.EndOfFileToken; kind = scanner.scan()) {
    if (kind === ts.SyntaxKind.NewLineTrivia) newLines++;
    const line = kind === ts.SyntaxKind.SingleLineCommentTrivia;
    if (!line && kind !== ts.SyntaxKind.MultiLineCommentTrivia) continue;
    const start = offset + scanner.getTokenStart();
    const before = found.at(-1);
    if (line && before?.line && newLines === 1)
      before.text = before.text.padEnd(start - before.start) + plain(scanner.getTokenText());
    else found.push({ start, text: plain(scanner.getTokenText()), line });
    newLines = 0;
  }
  return found;
}

/** Blanks a comment's markers, code and links; its length stays. */
function plain(comment: string): string {
  const blank = (text: string) => text.replace(/[^\n]/g, " ");
  const code = (text: string) => text.replace(/\S/g, "·");
  return comment
    .replace(/^\/\*\*?|\*\/$|^\/\/\/?|^[ \t]*\*(?!\/)/gm, blank)
    .replace(/```[\s\S]*?```/g, blank)
    .replace(/`[^`]*`|\{@link [^}]*\}|https?:\/\/\S+/g, code);
}
