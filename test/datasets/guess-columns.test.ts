import { expect, test } from "vitest";
import { guessColumns } from "../../src/datasets/guess-columns.ts";
import { parseTable } from "../../src/datasets/parse-table.ts";

const guess = (csv: string) => guessColumns(parseTable(csv, "data.csv", "csv"));

test.each([
  ["by their names", "id,Message,Team\n1,hello there,a\n2,good bye,b", { text: "Message", label: "Team" }],
  [
    "by what comes again, and by what is long",
    "number,asked,who\n1,where is my parcel?,shipping\n2,what did I pay?,billing\n3,where was it sent?,shipping",
    { text: "asked", label: "who" },
  ],
  [
    "a pair",
    "sentence1,sentence2,label\nA man.,One.,yes\nB man.,Two.,no",
    { text: "sentence1", textPair: "sentence2", label: "label" },
  ],
  [
    "numbers of one value teach nothing",
    "text,year,stars\nfine,2020,5\nbad,2020,1\nfine too,2020,5",
    { text: "text", label: "stars" },
  ],
  ["a column alone", "text\nhello\nbye", {}],
  ["columns that a kind of task reads by itself", "anchor,positive\na b,c\nd e,f", {}],
])("%s", (_, csv, expected) => {
  expect(guess(csv)).toEqual(expected);
});
