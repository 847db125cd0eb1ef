/**
 * Checks the English of the README, the docs, CONTRIBUTING and SECURITY with textlint's kernel, and of the comments and messages in the
 * sources. Sentences are short and words are not doubled; for phrases that hide who does what, it prints what to write instead. Code and
 * cells of tables have no sentences.
 *
 *     npx tsx site/prose.ts             # everything
 *     npx tsx site/prose.ts src/graph   # the comments and messages of one folder
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TextlintKernel, type TextlintRuleModule } from "@textlint/kernel";
import markdown from "@textlint/textlint-plugin-markdown";
import { comments } from "./comments.js";
import { messages } from "./messages.js";

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
  [/(?<!\bif [^.]{0,60})\bsays? so\b/, "prints a note, reports it, warns"],
  [/\b(?:all the same|anew)\b/, "still, or again"],
  [/\b(?:go|goes|went) on\b/, "continues"],
  [
    /\b(?:tokens|examples|seconds|rows|steps|texts|words?|objects?|MB) an? (?:step|class|row|line|text|query|minute|token|epoch|layer)\b/,
    "per",
  ],
  [/\b(?:leverage|utili[sz]e|seamless(?:ly)?|blazing(?:ly)?|effortless(?:ly)?|cutting-edge)\b/i, "a plain word"],
  [/\b(?:is|are|was|were) (?:right|wrong) on\b/, "classifies … correctly, or has an accuracy of"],
  [/\bhangs? on\b/, "depends on"],
  [/\bscores? (?:is|are) of\b/i, "for, or on"],
  [/\b(?:package|process|server|adapter|file) has (?:about )?[\d.,]+ [kMG]B\b/, "is, takes or uses"],
  [/\bof what\b/, "the noun"],
  [/\botherwise than\b/, "unlike, or differently from"],
  [/\bat hand\b/, "available, or here"],
  [/\bnow and then\b/, "sometimes"],
  [/\bno more(?=[.;,)])/, "no longer"],
  [/\bas [^.,;:|]{3,40} ha(?:s|ve) (?:it|them)\b/, "like …, or in the layout of …"],
  [/\bin (?:its|their) place\b/, "instead"],
  [/\bin place of\b/, "instead of"],
  [/\btells? (?:\w+ ){0,3}apart\b/, "distinguishes"],
  [/(?:^|[.!?] )So (?:it|they) (?:is|are) (?:of|for|with|in)\b/, "the same holds for …"],
  [/(?<!@param )\b([a-z]+) \1\b/, "the word once"],
];

/** Phrases that were wrong in comments, where space is short. */
const COMMENT_PHRASES: readonly [phrase: RegExp, instead: string][] = [
  [/(?<=^\s*|[.:] |@\w+ )(?:What|Of|Told)\b(?! course)/, "a noun phrase that names it, or a verb and its subject"],
  [/@throws \{?\w+\}? where\b/, "if"],
  [/\b(?:absent|undefined|null|NaN|none|nothing|empty) where\b/i, "if"],
  [/\bwhere (?:there (?:is|are|was|were) (?:no|none)|nothing|none)\b/i, "if there is no"],
  [/\bwhere (?:it|they) (?:is|are|has|have|does|do|was|were|can|cannot) (?:none|not?)\b/, "if"],
  [/\babsent:/, "by default, or undefined if"],
  [/(?<!\b(?:an?|no) \w+ )\bof (?:its|their) own\b(?! \w)/, "separate, own, or nothing"],
  [/\b(?:coming|going) (?:to be|on)\b/, "continues"],
  [/\b(?:stands?(?! for\b)|stood)\b/, "is, or the field's term"],
  [/\b(?:that|which|what) (?:is|are) there\b/, "existing"],
  [/\bby themselves\b/, "alone"],
  [/(?<!(?:thing|one|body|or) )\belse[.;,]/, "otherwise, before the clause"],
  [/\b(?:to|for) whom?\b/, "the caller, or the noun"],
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
const docs = readdirSync(`${root}docs`, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".md"));
const kernel = new TextlintKernel();
const folders = process.argv.slice(2);
let problems = 0;
for (const file of folders.length > 0
  ? []
  : ["README.md", "CONTRIBUTING.md", "SECURITY.md", ...docs.map((name) => `docs/${name}`)]) {
  const { messages } = await kernel.lintText(readFileSync(root + file, "utf8"), {
    ext: ".md",
    filePath: file,
    plugins: [{ pluginId: "markdown", plugin: markdown.default }],
    rules: [{ ruleId: "plain-words", rule: plainWords }],
  });
  for (const { line, column, message } of messages) console.error(`${file}:${line}:${column} ${message}`);
  problems += messages.length;
}
for (const folder of folders.length > 0 ? folders : ["src", "web/src"]) {
  for (const name of readdirSync(root + folder, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts")) continue;
    const source = readFileSync(`${root}${folder}/${name}`, "utf8");
    const parts = [
      { texts: comments(source), phrases: [...PHRASES, ...COMMENT_PHRASES] },
      { texts: messages(source), phrases: PHRASES },
    ];
    for (const { texts, phrases } of parts) {
      for (const { start, text } of texts) {
        for (const [phrase, instead] of phrases) {
          const anywhere = new RegExp(phrase.source.replaceAll(" ", "\\s+"), `g${phrase.flags}`);
          for (const found of text.matchAll(anywhere)) {
            const line = source.slice(0, start + found.index).split("\n").length;
            console.error(`${folder}/${name}:${line} "${found[0].replace(/\s+/g, " ")}": write ${instead}`);
            problems++;
          }
        }
      }
    }
  }
}
if (problems > 0) {
  console.error(`${problems} sentences to mend`);
  process.exitCode = 1;
}
