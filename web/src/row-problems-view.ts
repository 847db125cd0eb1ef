import { byId, element, tableOf } from "./dom.ts";
import { capital } from "./problems.ts";
import type { RowProblems } from "./row-problems.ts";

export function showRowProblems(found: RowProblems | undefined): void {
  const view = byId("rows-wrong", HTMLDetailsElement);
  const { header, notes = [], count = 0, groups = [] } = found ?? {};
  byId("row-notes", HTMLElement).replaceChildren(...notes.map((note) => element("li", capital(note))));
  view.hidden = header === undefined && count === 0;
  view.open = false;
  const parts = [
    ...(header === undefined ? [] : ["the first line seems to be a row"]),
    ...groups.map((group) => `${group.title}: ${group.count.toLocaleString("en-US")}`),
  ];
  byId("rows-wrong-summary", HTMLElement).textContent = `Rows that look wrong (${parts.join("; ")})`;
  byId("rows-wrong-list", HTMLElement).replaceChildren(
    ...(header === undefined
      ? []
      : [
          element(
            "p",
            `The file seems to have no header: ${header}. Write names such as text,label into a first line.`,
          ),
        ]),
    ...groups.map(({ title, count: all, rows }) =>
      tableOf(
        all > rows.length ? `${title}, the first ${rows.length} of ${all.toLocaleString("en-US")}` : title,
        ["where", "label", "found", "text"],
        rows,
      ),
    ),
    element("p", "npx aflora check also compares the labels with a model, and writes a list."),
  );
}
