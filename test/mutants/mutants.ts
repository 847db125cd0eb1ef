import ts from "typescript";

/** A small change of one line. */
export interface Mutant {
  /** Its number from 0. */
  line: number;
  from: string;
  to: string;
}

/** What is changed into what; a change is one place of one rule. */
const RULES: readonly (readonly [from: RegExp, to: string])[] = [
  [/ === /g, " !== "],
  [/ !== /g, " === "],
  [/ <= /g, " < "],
  [/ >= /g, " > "],
  [/ < /g, " <= "],
  [/ > /g, " >= "],
  [/ && /g, " || "],
  [/ \|\| /g, " && "],
  [/ \?\? /g, " && "],
  [/ \+ /g, " - "],
  [/ - /g, " + "],
  [/ \* /g, " / "],
  [/ \/ /g, " * "],
  [/\bif \(!/g, "if ("],
  [/\btrue\b/g, "false"],
  [/\bfalse\b/g, "true"],
  [/\bMath\.max\b/g, "Math.min"],
  [/\bMath\.min\b/g, "Math.max"],
  [/\.some\(/g, ".every("],
  [/\.every\(/g, ".some("],
  [/(?<=^const [A-Z_]+ = )\d+(?=;)/g, "7"],
  [/^ +(if \(.*\) )?(throw .*|refuse\(\));$/g, ""],
];

/** Lines that are code of their own: no comment, import, type or text of an error. */
const isCode = (line: string): boolean =>
  !/^\s*(\*|\/\/|\/\*|import |export type|type |interface |`)/.test(line) && !/^\s*["'`].*["'`],?$/.test(line);

/** All changes of a file's text that TypeScript can still read, and that change more than types and comments. */
export function mutantsOf(text: string): Mutant[] {
  const lines = text.split("\n");
  const code = codeOf(text);
  return lines.flatMap((from, line) => {
    if (!isCode(from)) return [];
    return RULES.flatMap(([pattern, to]) =>
      Array.from(from.matchAll(pattern), ({ index, 0: { length } }) => ({
        line,
        from,
        to: from.slice(0, index) + to + from.slice(index + length),
      })),
    ).filter((mutant) => {
      const changed = codeOf(mutated(text, mutant));
      return changed !== undefined && changed !== code;
    });
  });
}

/** A file's text with a change. */
export const mutated = (text: string, { line, to }: Mutant): string => text.split("\n").with(line, to).join("\n");

/** The JavaScript of a file's text, without comments; undefined if TypeScript cannot read the text. */
function codeOf(text: string): string | undefined {
  const compilerOptions = { target: ts.ScriptTarget.ESNext, removeComments: true };
  const { outputText, diagnostics } = ts.transpileModule(text, { compilerOptions, reportDiagnostics: true });
  return diagnostics!.length === 0 ? outputText : undefined;
}
