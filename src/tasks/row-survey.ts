import { textsHash } from "./same-texts.ts";

export interface LabelledRow {
  text: string;
  textPair?: string;
  label: string;
  /** Whether it is a validation row, which must not be among the training rows. */
  held?: boolean;
}

export interface LabelledClass {
  label: string;
  rows: number;
}

export interface RowSurvey {
  total: number;
  classes: readonly LabelledClass[];
  /** Texts that occur with different labels: their number, and one of them. */
  contradicted: { count: number; such: string };
  /** Number of validation rows, and of those whose text is a training text. */
  held: number;
  leaked: number;
  looks: Looks;
}

interface Looks {
  rows: number;
  dates: number;
  ids: number;
  told: number;
  labelDates: number;
}

const MOST_LOOKED_AT = 2000;
const DATE = /^(\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4})([T ][\d:.,+ ZAPM-]*)?$/i;
/** One word with a digit, such as a number, `TK-2041` or a UUID. */
const ID = /^(?=.*\d)[\w#$.:/+-]+$/;

/** Counts rows by label, text and look. Texts are kept as hashes, so that a million rows take little memory. */
export function surveyRows(rows: Iterable<LabelledRow>): RowSurvey {
  const numbers = new Map<string, number>();
  const counts: number[] = [];
  const labelOf = new Map<number, number>();
  const trained = new Set<number>();
  const contradicted = new Set<number>();
  const looks: Looks = { rows: 0, dates: 0, ids: 0, told: 0, labelDates: 0 };
  let [total, held, leaked, such] = [0, 0, 0, ""];
  for (const row of rows) {
    if (row.label === "" || `${row.text}${row.textPair ?? ""}`.trim() === "") continue;
    total += 1;
    if (!numbers.has(row.label)) numbers.set(row.label, counts.push(0) - 1);
    const label = numbers.get(row.label)!;
    counts[label]! += 1;
    const hash = textsHash(row);
    const other = labelOf.get(hash);
    if (other === undefined) labelOf.set(hash, label);
    else if (other !== label) {
      contradicted.add(hash);
      such ||= row.text;
    }
    if (!row.held) trained.add(hash);
    else {
      held += 1;
      if (trained.has(hash)) leaked += 1;
    }
    if (looks.rows < MOST_LOOKED_AT) lookAt(row, looks);
  }
  const classes = [...numbers].map(([label, number]) => ({ label, rows: counts[number]! }));
  return { total, classes, contradicted: { count: contradicted.size, such }, held, leaked, looks };
}

function lookAt({ text, textPair = "", label }: LabelledRow, looks: Looks): void {
  const whole = text.trim();
  looks.rows += 1;
  if (DATE.test(whole)) looks.dates += 1;
  else if (ID.test(whole)) looks.ids += 1;
  if (DATE.test(label)) looks.labelDates += 1;
  if (contains(`${text} ${textPair}`, label)) looks.told += 1;
}

/** Whether a text has a label's words in it. A label without three letters occurs by chance. */
function contains(text: string, label: string): boolean {
  const words = (of: string): string =>
    ` ${of
      .toLowerCase()
      .replace(/[^\p{L}\p{N}]+/gu, " ")
      .trim()} `;
  return /\p{L}{3}/u.test(label) && words(text).includes(words(label));
}

export const rowNoun = (count: number): string => (count === 1 ? "1 row" : `${count.toLocaleString("en-US")} rows`);
