import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { LinearExpression, replaceSpans } from "../../src/checkpoints/linear-expression.ts";

const texts: [string, string?][] = JSON.parse(
  readFileSync(new URL("../fixtures/tokenizers/texts.json", import.meta.url), "utf8"),
);
const odd = ["", " ", "  ", "a  b", " a\n\n  b ", "\u00a0\u3000x \u0085", "🙂🙂 it's  I'LL", "१२३ 12345", "\ud800 x"];

// JavaScript's own \s includes U+FEFF and lacks U+0085.
const native = (pattern: string) =>
  new RegExp(pattern.replaceAll("\\S", "\\P{White_Space}").replaceAll("\\s", "\\p{White_Space}"), "gu");

test.each([
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}]*[\\p{Ll}\\p{Lo}]+(?:'s|'t|'re)?|\\p{N}{1,3}",
  " {2,}",
  "\\S+",
  "[\\S]+|[\\s]",
  "[^\\S]+",
  "\\p{Han}|.",
  "x*",
])("%s splits texts like JavaScript's own expressions", (pattern) => {
  const ours = new LinearExpression(pattern, "here");
  const theirs = native(pattern.replace("\\p{Han}", "\\p{Script=Han}"));
  for (const text of [...texts.flatMap(([a, b = ""]) => [a, b]), ...odd]) {
    // A lone surrogate is a character in JavaScript and none here; RE2 does not know Unicode's line ends.
    if (/[\ud800-\udfff]/.test(text.replace(/[\ud800-\udbff][\udc00-\udfff]/g, "")) || /[\r\u2028\u2029]/.test(text))
      continue;
    expect(text.match(ours), JSON.stringify(text)).toEqual(text.match(theirs));
    expect(Array.from(ours[Symbol.matchAll](text), ({ index }) => index)).toEqual(
      Array.from(text.matchAll(theirs), ({ index }) => index),
    );
    expect(text.replace(ours, "<>")).toBe(text.replace(theirs, "<>"));
    if (pattern !== "x*") expect(text.split(ours)).toEqual(text.split(native(`(?:${theirs.source})`)));
  }
});

const LETTERS = "the quick brown fox jumps over it ".repeat(15).slice(0, 500);

test.each([
  [`${".?".repeat(40)}\\x01`],
  ["(?:.|[^b])".repeat(40)],
  ["(?:.|..)?".repeat(30)],
  ["(?:.*|b)".repeat(6)],
  ["[\\s\\S]*".repeat(3)],
  ["(a+)+$"],
  ["(a|aa)+$"],
  ["([a-z]+\\s?)*\\x01"],
])("%s matches 500 letters in time", (pattern) => {
  const expression = new LinearExpression(pattern, "here");
  // Each would take far too long by backtracking.
  expect(() => LETTERS.match(expression)).not.toThrow();
  expect(typeof expression.test("a".repeat(500))).toBe("boolean");
});

test.each([
  ["(a)\\1+"],
  ["(?=a)b"],
  ["\\bword"],
  ["[a[b]]"],
  ["(?>a+)b"],
  ["("],
  ["((.{0,99}){0,99}){0,99}"],
  ["x".repeat(5000)],
  [".{0,999}".repeat(5)],
  [`(?:${"a*?b+".repeat(400)}){0,999}`],
  ["((a{0,99}){0,99}){0,99}"],
])("%s is rejected", (pattern) => {
  expect(() => new LinearExpression(pattern, "here")).toThrow(/^here: the regular expression .* is refused: /);
});

test("gives up in time on a long text if an expression's parts match at every position", () => {
  const slow = new LinearExpression(".{0,800}.{0,800}.{0,800}\\x01|.", "here");
  expect(() => "a".repeat(300_000).match(slow)).toThrow(/is refused: it (takes too long|is too large for a text)/);
});

test("limits the total size of a file's expressions", () => {
  const make = (others: LinearExpression[]) => new LinearExpression(".{0,999}", "here", others);
  const [first, second] = [make([]), make([])];
  expect(() => make([first])).not.toThrow();
  expect(() => make([first, second])).toThrow(/is refused: it is too large/);
});

test("replacements have no special $, and cannot grow without limit", () => {
  expect("aba".replace(new LinearExpression("b", "here"), "$&$&")).toBe("a$&$&a");
  expect(() => replaceSpans("ab", [[0, 0]], "x".repeat(100_000))).toThrow(/turns a text of 2 characters into 100000/);
});
