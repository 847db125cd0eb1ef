/**
 * Makes the tables of pages in docs/results/ from the summaries in studies/results/, each between its own two comments, and the table of
 * what the paper's studies need in docs/paper.md:
 *
 *     npx tsx scripts/make-result-tables.ts
 *
 * A summary is the `study.csv` of the study of its name, as `aflora study studies/NAME.yaml` writes it.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { withNeeds } from "./paper-needs.ts";
import { withTables } from "./summary-tables.ts";

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

for (const name of readdirSync(at("docs/results")).filter((each) => each.endsWith(".md"))) {
  const page = at(`docs/results/${name}`);
  const text = readFileSync(page, "utf8");
  const made = withTables(text, (path) => readFileSync(at(path), "utf8"));
  if (made !== text) writeFileSync(page, made);
}

const paper = at("docs/paper.md");
writeFileSync(paper, await withNeeds(readFileSync(paper, "utf8")));
