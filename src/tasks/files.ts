import { opt, UserError } from "../errors.ts";
import type { Example } from "./example.ts";
import { classification } from "./kinds/classification.ts";
import { MEDIA, type Media } from "./media.ts";
import { type Cell, type Columns, cellError, type ExampleCells, type Table, textOf } from "./rows.ts";
import type { TextInput } from "./task-kind.ts";

const PATHS = ["path", "file", "file_name", "filename", "text"];

/** File that a cell names: a path, or `{ bytes, path }` as in the hub's parquet files. */
function fileOf(cell: Cell, one: string): Pick<Example, "text" | "bytes"> {
  const { value } = cell;
  const isStruct = typeof value === "object" && value !== null && "path" in value;
  const { path, bytes }: { path: unknown; bytes?: unknown } = isStruct ? value : { path: value };
  const text = textOf({ ...cell, value: path });
  if (bytes instanceof Uint8Array) return { text: text === "" ? cell.place : `${cell.place} (${text})`, bytes };
  if (text.trim() === "") throw cellError(cell, `no path of a ${one}`);
  return { text };
}

export function ofFiles(media: Media) {
  const { one, column } = MEDIA[media];
  const names = [column, ...PATHS];
  return {
    reads: media,

    columnsIn(
      { columns, source }: Table,
      { text, label = "label", textPair }: Partial<Columns>,
    ): Required<Pick<Columns, "text" | "label">> {
      if (textPair !== undefined)
        throw new UserError(`${media} are read one by one, not in pairs; leave out ${opt("textPair")}`);
      const path = text ?? names.find((name) => columns.includes(name));
      if (path !== undefined) return { text: path, label };
      throw new UserError(
        `${source} has no column of paths of ${media} (${names.join(", ")}); name it with ${opt("text")}`,
      );
    },

    exampleOfRow: ({ text }: ExampleCells) => fileOf(text, one),

    exampleOfInput({ text, textPair, bytes }: TextInput): Pick<Example, "text" | "bytes"> {
      if (textPair !== undefined) throw new UserError(`the model takes single ${media}, not pairs`);
      return { text, ...(bytes && { bytes }) };
    },
  };
}

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
      const file = fileOf(cells.text, one);
      const text = { ...cells.text, value: file.text };
      return { ...classification.exampleOfRow({ ...cells, text }, labels), ...file, place: text.place };
    },
  };
}
