import { expect, test } from "vitest";
import { guessColumns } from "../../src/datasets/guess-columns.ts";
import { parseTable } from "../../src/datasets/parse-table.ts";

const guess = (csv: string) => guessColumns(parseTable(csv, "data.csv", "csv"));

test.each([
  ["by name", "id,Message,Team\n1,hello there,a\n2,good bye,b", { text: "Message", label: "Team" }],
  [
    "by repeating values and by length",
    "number,asked,who\n1,where is my parcel?,shipping\n2,what did I pay?,billing\n3,where was it sent?,shipping",
    { text: "asked", label: "who" },
  ],
  [
    "a pair",
    "sentence1,sentence2,label\nA man.,One.,yes\nB man.,Two.,no",
    { text: "sentence1", textPair: "sentence2", label: "label" },
  ],
  [
    "ignores a column of one value",
    "text,year,stars\nfine,2020,5\nbad,2020,1\nfine too,2020,5",
    { text: "text", label: "stars" },
  ],
  ["a single column", "text\nhello\nbye", {}],
  ["columns of a particular kind of task", "anchor,positive\na b,c\nd e,f", {}],
])("%s", (_, csv, expected) => {
  expect(guess(csv)).toEqual(expected);
});
