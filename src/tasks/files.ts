import { UserError } from "../errors.ts";
import type { Example } from "./example.ts";
import { classification } from "./kinds/classification.ts";
import { MEDIA, type Media } from "./media.ts";
import { type Columns, cellError, type ExampleCells, type Table, textOf } from "./rows.ts";
import type { TextInput } from "./task-kind.ts";

/** Names that a column of paths often has, beside that of what they are paths of; the first that there is is taken. */
const PATHS = ["path", "file", "file_name", "filename", "text"];

/** What kinds whose examples are files have in common. */
export function ofFiles(media: Media) {
  const names = [MEDIA[media].column, ...PATHS];
  return {
    reads: media,

    /** Columns of paths and of their classes. @throws UserError where there is none of paths, or a second one is named */
    columnsIn(
      { columns, source }: Table,
      { text, label = "label", textPair }: Partial<Columns>,
    ): Required<Pick<Columns, "text" | "label">> {
      if (textPair !== undefined)
        throw new UserError(`${media} are read one by one, not in pairs; leave out --text-pair`);
      const path = text ?? names.find((name) => columns.includes(name));
      if (path !== undefined) return { text: path, label };
      throw new UserError(`${source} has no column of paths of ${media} (${names.join(", ")}); name it with --text`);
    },

    /** An example of a path. @throws UserError where it is a pair */
    exampleOfInput({ text, textPair }: TextInput): Pick<Example, "text"> {
      if (textPair !== undefined) throw new UserError(`the model takes single ${media}, not pairs`);
      return { text };
    },
  };
}

/** What kinds have in common that give each file one class: all but what is in it. */
export function classificationOfFiles(media: Media) {
  const { one, column } = MEDIA[media];
  return {
    ...classification,
    ...ofFiles(media),
    summary: `one class for each ${one}`,
    recognition: {
      order: 5,
      fitsColumns: ({ columns }: Table) =>
        columns.includes(column) && columns.includes("label") && !columns.includes("text"),
      fitsRows: () => false,
      labelsOfHead: () => undefined,
    },
    exampleOfRow(cells: ExampleCells, labels: readonly string[]) {
      const { label } = classification.exampleOfRow(cells, labels);
      const text = textOf(cells.text);
      if (text.trim() === "") throw cellError(cells.text, `no path of a ${one}`);
      return { text, place: cells.text.place, ...(label !== undefined && { label }) };
    },
  };
}
