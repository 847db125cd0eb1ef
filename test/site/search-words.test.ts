import { expect, test } from "vitest";
import { withSearchWords } from "../../site/search-words.ts";

const PAGE = `<h1 id="tasks">Tasks</h1><p>Kinds of task.</p>
<h2 id="class-weights">Weights</h2><p><code>--class-weights balanced</code></p><h2 id="length">Length</h2><p><code>--patience 3</code></p>`;

test("a section gets the words that people search it by, and no other section does", () => {
  const [before, weights, length] = withSearchWords(PAGE).split("<h2");
  expect(before).not.toMatch(/imbalanced|early stopping/);
  expect(weights).toContain("imbalanced");
  expect(weights).not.toContain("early stopping");
  expect(length).toContain("early stopping");
});

test("nothing else of a page changes", () => {
  expect(withSearchWords("<p>Before a heading.</p><h2>Other</h2><p>text</p>")).toBe(
    "<p>Before a heading.</p><h2>Other</h2><p>text</p>",
  );
  expect(withSearchWords(PAGE).replace(/<p>[a-z ]*(imbalanced|overfitting)[a-zA-Z ]*<\/p>/g, "")).toBe(PAGE);
});
