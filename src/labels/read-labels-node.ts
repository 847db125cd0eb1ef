import { tableFormat } from "../datasets/parse-table.ts";
import { readTable } from "../datasets/read-table-node.ts";
import { labelsOfList, labelsOfTable, type NamedLabel } from "./named-labels.ts";

const FILE = /\.(csv|tsv|jsonl|ndjson|txt)$/i;

/**
 * Reads labels from a file or a list.
 * @param given `billing,bug=the app fails`, or a CSV, TSV, JSONL or TXT file
 * @throws UserError if the file cannot be read, a label has no name, or there are fewer than two
 */
export async function readLabels(given: string): Promise<NamedLabel[]> {
  return FILE.test(given) ? labelsOfTable(await readTable(given, tableFormat(given))) : labelsOfList(given);
}
