import { defineConfig } from "vitepress";
import { anchorOf } from "../anchors.ts";
import { layOutPages, PAGES, sections } from "../contents.ts";
import { withSearchWords } from "../search-words.ts";
import { tableLabels } from "../table-labels.ts";

const DESCRIPTION =
  "Fine-tune transformer models from TypeScript, on your own machine: no Python, no cloud, no GPU needed.";
const linkTo = (file: string): string => `/${file.replace(/\.md$/, "")}`;

layOutPages(process.env.SITE_REPOSITORY);

/** Pages of a section, in a sidebar of its own groups: the others are closed. */
const sidebar = sections().map(({ title, pages }) => ({
  text: title,
  collapsed: title !== "Learn",
  items: pages.map((page) => ({ text: page.title, link: linkTo(page.file) })),
}));

export default defineConfig({
  title: "aflora",
  description: DESCRIPTION,
  lang: "en",
  srcDir: PAGES,
  head: [["link", { rel: "icon", href: "data:," }]],
  markdown: { anchor: { slugify: anchorOf }, config: tableLabels },
  // Made by other tools, after VitePress has looked.
  ignoreDeadLinks: [/^\/(api|try)\//],
  themeConfig: {
    search: {
      provider: "local",
      options: {
        detailedView: true,
        _render: async (source, env, markdown) => {
          const html = await markdown.renderAsync(source, env);
          return env.relativePath === "CHANGELOG.md" ? "" : withSearchWords(html);
        },
        miniSearch: {
          searchOptions: { combineWith: "AND", fuzzy: 0.1, prefix: true, boost: { title: 3, titles: 1, text: 1 } },
        },
      },
    },
    nav: [
      ...sections().map(({ title, pages }) => ({ text: title, link: linkTo(pages[0]!.file) })),
      { text: "API", link: "/api/", target: "_self" },
      { text: "Playground", link: "/playground" },
    ],
    sidebar,
    outline: { level: 2 },
  },
});
