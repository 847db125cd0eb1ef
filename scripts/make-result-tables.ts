/**
 * Makes the tables of docs/results.md from the summaries in studies/results/, each between its own two comments:
 *
 *     npx tsx scripts/make-result-tables.ts
 *
 * A summary is the `study.csv` of the study of its name, as `aflora study studies/NAME.yaml` writes it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { summaryTables } from "./summary-tables.ts";

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
const page = at("docs/results.md");
const TABLES = /(<!-- tables of (studies\/results\/[\w-]+\.csv) -->\n)[\s\S]*?(\n<!-- end of tables -->)/g;

const text = readFileSync(page, "utf8").replace(
  TABLES,
  (_, start: string, summary: string, end: string) =>
    `${start}\n${summaryTables(readFileSync(at(summary), "utf8"))}\n${end}`,
);
writeFileSync(page, text);
