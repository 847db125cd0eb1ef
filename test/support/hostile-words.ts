import { parseHTML } from "linkedom";

/** Ways out of a text, an attribute, a comment, a style and a script of HTML or SVG. */
export const HOSTILE = [
  `"><img src=x onerror=alert(1)>`,
  `' onmouseover='alert(1)`,
  "</title></style></svg></table><script>alert(1)</script>",
  "--><svg/onload=alert(1)>",
  "<![CDATA[<iframe src=javascript:alert(1)>]]>",
  "&lt;b&gt;&#60;b&#62;\u2028<b",
];

/** Each element of a page with the names of its attributes, in their order. */
export const elementsOf = (html: string): string[] =>
  Array.from(parseHTML(html).document.querySelectorAll("*"), (element) =>
    [element.tagName, ...element.getAttributeNames()].join(" "),
  );
