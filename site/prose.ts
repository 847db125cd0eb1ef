/**
 * Checks the English of the README, the docs and CONTRIBUTING with textlint's kernel: sentences are short, words are not doubled, and
 * phrases that hide who does what are named with what to write instead. Code and tables' cells have no sentences.
 *
 *     npx tsx site/prose.ts
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TextlintKernel, type TextlintRuleModule } from "@textlint/kernel";
import markdown from "@textlint/textlint-plugin-markdown";

const MAX_WORDS = 40;

/** Phrases that were wrong, and what to write. */
const PHRASES: readonly [phrase: RegExp, instead: string][] = [
  [/\b(?:is|are|was|were) (?:said|told)\b/, "name who says it: aflora prints, the page shows"],
  [/\bsettle[sd]?\b/, "frozen"],
  [/\bone's own\b/, "your own"],
  [/\bperhaps\b/, "optionally, or say when"],
  [/\blikewise\b/, "the same way, or say it again"],
  [/\b(?:is|are) to be\b/, "must, will or should"],
  [/\bnobody\b/, "name who does not"],
  [/\bby itself\b/, "alone"],
  [/\b(?:has|have|having) been being\b/, "an active verb"],
  [/\bwhere absent\b/, "by default"],
  [/\bparted by\b/, "separated by"],
  [/\b(?:comes?|came) to\b/, "is, has or scores"],
  [/\btold (?:apart|by)\b/, "distinguished, or who tells what"],
  [/\blet alone\b/, "two sentences"],
  [/\b(?:at the most|so many)\b/, "at most n, or the number"],
  [/\bsays? so\b/, "prints a note, reports it, warns"],
  [/\b(?:all the same|anew)\b/, "still, or again"],
  [/\b(?:go|goes|went) on\b/, "continues"],
  [
    /\b(?:tokens|examples|seconds|rows|steps|texts|words?|objects?|MB) an? (?:step|class|row|line|text|query|minute|token|epoch|layer)\b/,
    "per",
  ],
  [/\b(?:leverage|utili[sz]e|seamless(?:ly)?|blazing(?:ly)?|effortless(?:ly)?|cutting-edge)\b/i, "a plain word"],
  [/\b(\w+) \1\b/, "the word once"],
];

const plainWords: TextlintRuleModule = ({ Syntax, RuleError, report, getSource, locator }) => ({
  [Syntax.Paragraph](node) {
    const text = getSource(node).replace(/`[^`]*`/g, (code) => "x".repeat(code.length));
    const at = (index: number, length: number) => ({ padding: locator.range([index, index + length]) });
    for (const [phrase, instead] of PHRASES) {
      for (const found of text.matchAll(new RegExp(phrase, `g${phrase.flags}`)))
        report(node, new RuleError(`"${found[0]}": write ${instead}`, at(found.index, found[0].length)));
    }
    let start = 0;
    for (const sentence of text.split(/(?<=[.!?:][)*"]*)\s+(?=[*"([]*[A-Z0-9x])/)) {
      const words = sentence.replace(/\]\([^)]*\)/g, "]").match(/[\p{L}\p{N}][^\s]*/gu)?.length ?? 0;
      if (words > MAX_WORDS) {
        const message = `a sentence of ${words} words, more than ${MAX_WORDS}: ${sentence.slice(0, 60)}…`;
        report(node, new RuleError(message, at(start, sentence.length)));
      }
      start = text.indexOf(sentence, start) + sentence.length;
    }
  },
});

const root = fileURLToPath(new URL("../", import.meta.url));
const docs = readdirSync(`${root}docs`).filter((name) => name.endsWith(".md"));
const kernel = new TextlintKernel();
let problems = 0;
for (const file of ["README.md", "CONTRIBUTING.md", ...docs.map((name) => `docs/${name}`)]) {
  const { messages } = await kernel.lintText(readFileSync(root + file, "utf8"), {
    ext: ".md",
    filePath: file,
    plugins: [{ pluginId: "markdown", plugin: markdown.default }],
    rules: [{ ruleId: "plain-words", rule: plainWords }],
  });
  for (const { line, column, message } of messages) console.error(`${file}:${line}:${column} ${message}`);
  problems += messages.length;
}
if (problems > 0) {
  console.error(`${problems} sentences to mend`);
  process.exitCode = 1;
}
