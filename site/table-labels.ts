import type { MarkdownOptions } from "vitepress";

type Markdown = Parameters<NonNullable<MarkdownOptions["config"]>>[0];

/** Gives each cell of a table its column's heading, which the style sheet shows on phones, where a row is a card. */
export function tableLabels(markdown: Markdown): void {
  markdown.core.ruler.push("table-labels", ({ tokens }) => {
    let headings: string[] = [];
    let column = 0;
    tokens.forEach((token, i) => {
      if (token.type === "table_open") headings = [];
      if (token.type === "tr_open") column = 0;
      if (token.type === "th_open") headings.push(textOf(tokens[i + 1]?.children ?? []));
      if (token.type === "td_open") token.attrSet("data-label", headings[column++] ?? "");
    });
  });
}

const textOf = (tokens: readonly { content: string }[]): string => tokens.map(({ content }) => content).join("");
