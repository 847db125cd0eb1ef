/**
 * Makes the tables of options and of fields of records in docs/, each between its own two comments:
 *
 *     npx tsx scripts/make-option-tables.ts
 *
 * Options come from the schemas that parse them, fields from the comments of their types.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { withOptions } from "./option-tables.ts";

const docs = fileURLToPath(new URL("../docs/", import.meta.url));

for (const name of readdirSync(docs).filter((each) => each.endsWith(".md"))) {
  const text = readFileSync(docs + name, "utf8");
  const made = withOptions(text);
  if (made !== text) writeFileSync(docs + name, made);
}
