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

/** All changes of a file's text that TypeScript can still read. */
export function mutantsOf(text: string): Mutant[] {
  const lines = text.split("\n");
  return lines.flatMap((from, line) => {
    if (!isCode(from)) return [];
    return RULES.flatMap(([pattern, to]) =>
      Array.from(from.matchAll(pattern), ({ index, 0: { length } }) => ({
        line,
        from,
        to: from.slice(0, index) + to + from.slice(index + length),
      })),
    ).filter((mutant) => isReadable(mutated(text, mutant)));
  });
}

/** A file's text with a change. */
export const mutated = (text: string, { line, to }: Mutant): string => text.split("\n").with(line, to).join("\n");

const isReadable = (text: string): boolean =>
  ts.transpileModule(text, { reportDiagnostics: true }).diagnostics!.length === 0;
