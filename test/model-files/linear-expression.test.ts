import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { LinearExpression, replaceSpans } from "../../src/model-files/linear-expression.ts";

const texts: [string, string?][] = JSON.parse(
  readFileSync(new URL("../fixtures/tokenizers/texts.json", import.meta.url), "utf8"),
);
const odd = ["", " ", "  ", "a  b", " a\n\n  b ", "\u00a0\u3000x \u0085", "🙂🙂 it's  I'LL", "१२३ 12345", "\ud800 x"];

// JavaScript's own \s has U+FEFF and lacks U+0085.
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
])("%s cuts texts as JavaScript's own expressions do", (pattern) => {
  const ours = new LinearExpression(pattern, "here");
  const theirs = native(pattern.replace("\\p{Han}", "\\p{Script=Han}"));
  for (const text of [...texts.flatMap(([a, b = ""]) => [a, b]), ...odd]) {
    // A lone surrogate is a character of its own there and none here; line ends of Unicode are no line ends in RE2.
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

const LETTERS = "the quick brown fox jumps over it ".repeat(60).slice(0, 2000);

test.each([
  [`${".?".repeat(40)}\\x01`],
  ["(?:.|[^b])".repeat(40)],
  ["(?:.|..)?".repeat(30)],
  ["(?:.*|b)".repeat(6)],
  ["[\\s\\S]*".repeat(3)],
  ["(a+)+$"],
  ["(a|aa)+$"],
  ["([a-z]+\\s?)*\\x01"],
])("%s ends in time on 2,000 letters", (pattern) => {
  const expression = new LinearExpression(pattern, "here");
  // Matched by backtracking, each takes longer than anybody waits.
  expect(() => LETTERS.match(expression)).not.toThrow();
  expect(typeof expression.test("a".repeat(2000))).toBe("boolean");
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
])("%s is refused", (pattern) => {
  expect(() => new LinearExpression(pattern, "here")).toThrow(/^here: the regular expression .* is refused: /);
});

test("an expression whose parts match at each place is given up on a long text, in time", () => {
  const slow = new LinearExpression(".{0,800}.{0,800}.{0,800}\\x01|.", "here");
  expect(() => "a".repeat(300_000).match(slow)).toThrow(/is refused: it (takes too long|is too large for a text)/);
});

test("expressions of one file may not be more than one large one would be", () => {
  const make = (others: LinearExpression[]) => new LinearExpression(".{0,999}", "here", others);
  const [first, second] = [make([]), make([])];
  expect(() => make([first])).not.toThrow();
  expect(() => make([first, second])).toThrow(/is refused: it is too large/);
});

test("what replaces has no meanings of $, and may not grow without end", () => {
  expect("aba".replace(new LinearExpression("b", "here"), "$&$&")).toBe("a$&$&a");
  expect(() => replaceSpans("ab", [[0, 0]], "x".repeat(100_000))).toThrow(/makes 100000 characters of a text of 2/);
});
