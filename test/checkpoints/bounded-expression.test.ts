import { expect, test } from "vitest";
import { refuseSlowExpression } from "../../src/checkpoints/bounded-expression.ts";

test.each([
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}]*[\\p{Ll}\\p{Lo}]+(?i:'s|'t|'re)?|\\p{N}{1,3}",
  " {2,}",
  ".*\\.layer\\.(0|1|2)\\..*(query|key)",
  "encoder.layer.0.attention.self.query",
])("%s is an expression of today's tokenizers or adapters", (pattern) => {
  expect(() => refuseSlowExpression(pattern, "here")).not.toThrow();
});

test.each([
  "(a+)+$",
  "(a|aa)+$",
  "(a*)*b",
  "((a?)b?)+c",
  "(?:a+){2,}",
  "([a-z]+\\s?)*x",
  "(a|b|ab)*c",
  "(x+x+)+y",
  "(a)\\1+",
  "a*a*a*a*a*b",
  "(a*a*)(a*a*)b",
])("%s is refused", (pattern) => {
  expect(() => refuseSlowExpression(pattern, "here")).toThrow(/^here: the regular expression .* is refused, because /);
});
