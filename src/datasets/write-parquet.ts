import { type ColumnSource, parquetWriteBuffer } from "hyparquet-writer";

/** A table as an Apache Parquet file. A column of texts, numbers or booleans keeps its type; any other one becomes JSON. */
export function parquetOf({
  columns,
  rows,
}: {
  columns: readonly string[];
  rows: readonly (readonly unknown[])[];
}): Uint8Array {
  const columnData = columns.map((name, column): ColumnSource => {
    const data = rows.map((cells) => cells[column] ?? null);
    return { name, data, type: typeOf(data), nullable: true };
  });
  return new Uint8Array(parquetWriteBuffer({ columnData }));
}

function typeOf(cells: readonly unknown[]): "BOOLEAN" | "DOUBLE" | "STRING" | "JSON" {
  const types = new Set(cells.filter((cell) => cell !== null).map((cell) => typeof cell));
  if (types.size > 1) return "JSON";
  if (types.has("number")) return "DOUBLE";
  if (types.has("boolean")) return "BOOLEAN";
  return types.has("object") ? "JSON" : "STRING";
}
