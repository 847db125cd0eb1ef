import type { RunEvaluation } from "../runs/evaluate-run.ts";
import { findingPictures, findingTables } from "./answers.ts";
import { figure, html, page, table } from "./page.ts";
import { metricsText, number } from "./quantities.ts";

/** A page with all findings of the evaluations: every mistake, and the scores of each class. @param run its folder */
export function findingsPage(run: string, evaluations: readonly RunEvaluation[]): string {
  const parts = evaluations.map(({ split, examples, metrics, errors, findings = [] }, i) => {
    const whole = findings.map(({ most: _, ...each }) => each);
    const pictures = findingPictures(whole).map((picture, j) => figure(picture, `answers-${i + 1}-${j + 1}`));
    return html`<h2>${split}</h2>
<p>${number(examples)} examples: ${metricsText(metrics, errors)}.</p>
<div class="pictures">${pictures}</div>
<section class="answers">${findingTables(whole).map(table)}</section>
`;
  });
  const title = `Mistakes of ${run}`;
  return page(
    title,
    html`<h1>${title}</h1>
${parts}`,
  );
}
