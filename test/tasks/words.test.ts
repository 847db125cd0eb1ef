import { expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { locateWords, splitWords } from "../../src/tasks/words.ts";

test.each([
  ["Ada Lovelace lived in London.", "Ada|Lovelace|lived|in|London|."],
  ["  “Don't,” said (Mr) O’Neil…\n", "“|Don't|,|”|said|(|Mr|)|O’Neil|…"],
  ["state-of-the-art, 1.5 million — 20%", "state-of-the-art|,|1.5|million|—|20|%"],
  ["naïve Café Ünïcode", "naïve|Café|Ünïcode"],
  ["see https://example.org/a?b=c!", "see|https://example.org/a?b=c|!"],
  ["one—two", "one|—|two"],
  ["🙂 ok", "🙂|ok"],
  [" \t", ""],
])("%j has the words %j", (text, words) => {
  expect(splitWords(text).join("|")).toBe(words);
});

test("words are found in their text one after the other", () => {
  const text = "no, no 🙂 no.";
  const words = splitWords(text);
  expect(locateWords(text, words).map(({ start, end }) => text.slice(start, end))).toEqual(words);
  expect(locateWords(text, words).at(-2)).toEqual({ start: 10, end: 12 });
  expect(() => locateWords(text, ["no", "yes"])).toThrow(UserError);
});
