import { defineConfig } from "vitepress";
import { anchorOf } from "../anchors.ts";
import { layOutPages, PAGES, sections } from "../contents.ts";

const DESCRIPTION =
  "Fine-tune transformer models from TypeScript, on your own machine: no Python, no cloud, no GPU needed.";
const linkTo = (file: string): string => `/${file.replace(/\.md$/, "")}`;

layOutPages(process.env.SITE_REPOSITORY);

export default defineConfig({
  title: "aflora",
  description: DESCRIPTION,
  lang: "en",
  srcDir: PAGES,
  head: [["link", { rel: "icon", href: "data:," }]],
  markdown: { anchor: { slugify: anchorOf } },
  // Made by other tools, after VitePress has looked.
  ignoreDeadLinks: [/^\/(api|try)\//],
  transformPageData(page) {
    if (page.relativePath !== "index.md") return;
    page.frontmatter.layout = "home";
    page.frontmatter.hero = {
      name: "aflora",
      text: "Fine-tune transformers from TypeScript",
      tagline: "On your own machine: no Python, no cloud, no GPU needed.",
      image: {
        light: "/pictures/terminal-light.svg",
        dark: "/pictures/terminal-dark.svg",
        alt: "The demo in a terminal",
      },
      actions: [
        { theme: "brand", text: "First lesson", link: "/learn-classify" },
        { theme: "alt", text: "Try it in this browser", link: "/try/", target: "_self" },
      ],
    };
  },
  themeConfig: {
    search: { provider: "local" },
    nav: [
      ...sections().map(({ title, pages }) => ({ text: title, link: linkTo(pages[0]!.file) })),
      { text: "API", link: "/api/", target: "_self" },
      { text: "Try it", link: "/try/", target: "_self" },
    ],
    sidebar: [
      ...sections().map(({ title, pages }) => ({
        text: title,
        items: pages.map((page) => ({ text: page.title, link: linkTo(page.file) })),
      })),
    ],
    outline: { level: 2 },
  },
});
