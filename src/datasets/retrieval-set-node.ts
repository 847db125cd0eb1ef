import { UserError } from "../errors.ts";
import type { List } from "../tasks/list.ts";
import { type Cell, columnOf, list, numberOf, type Table } from "../tasks/rows.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { fileFormat, readTable } from "./read-table-node.ts";
import { readInputs, titledTexts } from "./texts-node.ts";

/** A text with its id. */
export interface IdentifiedText {
  id: string;
  text: string;
}

/** Queries, the texts to search, and the relevant texts of each query (the layout of BEIR, arXiv 2104.08663). */
export interface RetrievalSet {
  corpus: IdentifiedText[];
  /** Queries that have a relevant text. */
  queries: IdentifiedText[];
  /** Ids of relevant texts, by the query's id. */
  relevant: ReadonlyMap<string, ReadonlySet<string>>;
}

/**
 * Reads a corpus or queries: JSONL, CSV or TSV with `_id` (or `id`), `text` and optionally `title`, which is prepended
 * to the text; or a `.txt` file with one text per line, whose ids are the line numbers.
 * @param column of the text (default: `text`)
 * @throws UserError if the file cannot be read, a text has no id, or an id occurs twice.
 */
export async function readIdentifiedTexts(file: string, column = "text"): Promise<IdentifiedText[]> {
  const format = await fileFormat(file);
  const table = await readTable(file, format);
  const name = format === "lines" ? "text" : column;
  const texts = titledTexts(table, name);
  const ids = idsOf(table);
  const seen = new Map<string, Cell>();
  return columnOf(table, name).map((cell, row) => {
    const id = ids ? String(ids.at(row)!.value ?? "").trim() : String(table.rows.at(row)!.line);
    if (id === "") throw new UserError(`${cell.place}: no id in column "${ids!.at(row)!.column}"`);
    const before = seen.get(id);
    if (before)
      throw new UserError(`${cell.place}: the id "${id}" is also that of ${before.place}; ids must be unique`);
    seen.set(id, cell);
    return { id, text: texts[row]! };
  });
}

/** Reads the corpus for a kind of model, like {@link readIdentifiedTexts}; the id of a picture or sound is its path. */
export async function readCorpus(
  file: string,
  column: string | undefined,
  kind: Pick<TaskKind, "name" | "reads">,
): Promise<IdentifiedText[]> {
  if (kind.reads === undefined) return readIdentifiedTexts(file, column);
  return (await readInputs(file, column, kind)).map((path) => ({ id: path, text: path }));
}

function idsOf(table: Table): List<Cell> | undefined {
  const name = ["_id", "id"].find((each) => table.columns.includes(each));
  return name === undefined ? undefined : columnOf(table, name);
}

/**
 * Reads a retrieval set. Judgements are a table of `query-id`, `corpus-id` and optionally `score`; scores above 0 are
 * relevant.
 * @throws UserError as {@link readIdentifiedTexts}, and if an id is unknown or nothing is relevant.
 */
export async function readRetrievalSet(files: {
  corpus: string;
  queries: string;
  qrels: string;
}): Promise<RetrievalSet> {
  const corpus = await readIdentifiedTexts(files.corpus);
  const queries = await readIdentifiedTexts(files.queries);
  const table = await readTable(files.qrels, await fileFormat(files.qrels));
  const scores = table.columns.includes("score") ? columnOf(table, "score") : undefined;
  const [ofQueries, ofCorpus] = [columnOf(table, "query-id"), columnOf(table, "corpus-id")];
  const [knownQueries, knownTexts] = [queries, corpus].map((texts) => new Set(texts.map(({ id }) => id)));
  const relevant = new Map<string, Set<string>>();
  for (let row = 0; row < ofQueries.length; row++) {
    const [ofQuery, ofText] = [ofQueries.at(row)!, ofCorpus.at(row)!];
    const [query, text] = [String(ofQuery.value).trim(), String(ofText.value).trim()];
    if (!knownQueries!.has(query)) throw unknownId(ofQuery, query, files.queries);
    if (!knownTexts!.has(text)) throw unknownId(ofText, text, files.corpus);
    if (scores && !(numberOf(scores.at(row)!) > 0)) continue;
    relevant.set(query, (relevant.get(query) ?? new Set()).add(text));
  }
  if (relevant.size === 0) {
    throw new UserError(
      `${files.qrels} (${list(table.columns)}) marks no text as relevant to a query; nothing can be measured`,
    );
  }
  return { corpus, queries: queries.filter(({ id }) => relevant.has(id)), relevant };
}

const unknownId = ({ place, column }: Cell, id: string, file: string): UserError =>
  new UserError(`${place}: the id "${id}" in column "${column}" is not in ${file}`);
