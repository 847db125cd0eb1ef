import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { columnIndex, type Table } from "../src/tasks/rows.ts";

/** Labels of a pair: whether the sentence is from the question's answer. */
const LABELS = ["answers", "other"] as const;

/**
 * Makes pairs like QNLI's (Wang et al. 2019, GLUE) from GSM8K's problems: each `question` with one `sentence` of its own answer or, for every
 * second question, of another's, drawn at random.
 * @throws UserError if a column is missing
 */
export function questionPairs(table: Table): Table {
  const [question, answer] = ["question", "answer"].map((name) => columnIndex(table, name)) as [number, number];
  const random = xoroshiro128plus(0);
  const draw = <Item>(items: readonly Item[]): Item => items[uniformInt(random, 0, items.length - 1)]!;
  const problems = [...table.rows].map(({ line, cells }) => ({
    line,
    question: cells.at(question),
    sentences: sentencesOf(String(cells.at(answer))),
  }));
  const rows = problems.map((own, i) => {
    const label = LABELS[i % 2]!;
    let from = own;
    while (label === "other" && from === own) from = draw(problems);
    return { line: own.line, cells: [own.question, draw(from.sentences), label] };
  });
  return { ...table, columns: ["question", "sentence", "label"], rows };
}

/** Sentences of a published solution, without the marks of its calculator and without its last line, the number. */
const sentencesOf = (answer: string): string[] =>
  answer
    .replace(/<<.*?>>/g, "")
    .split("\n")
    .filter((line) => line.trim() && !line.startsWith("####"));
