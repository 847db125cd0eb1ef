import { LazyList, type List } from "../tasks/list.ts";
import type { Row } from "../tasks/rows.ts";

/** Size of the blocks of bytes. */
const BLOCK = 2 ** 22;

/** First byte of a cell that is JSON and not a text. UTF-8 does not have it. */
const JSON_MARK = 0xff;

/** A cell of a row that lacks it. */
const MISSING = Uint8Array.of(JSON_MARK);

/**
 * Rows of a table as bytes, which take a fraction of the memory of strings and arrays. Cells become values again when they are read.
 */
export class PackedRows {
  readonly #blocks: Uint8Array[] = [];
  #bytes = 0;
  /** End of each cell among the bytes. */
  readonly #ends: number[] = [];
  /** Line of each row. */
  readonly #lines: number[] = [];
  /** Number of cells before each row. */
  readonly #firsts: number[] = [0];
  /** Values that bytes do not hold, such as pictures, by the number of their cell. */
  readonly #others = new Map<number, unknown>();
  readonly #encoder = new TextEncoder();
  // A text may begin with a byte order mark.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  /** @param line first line of the row, from 1 */
  add(line: number, cells: readonly unknown[]): void {
    for (const cell of cells) {
      const bytes = this.#bytesOf(cell);
      if (bytes) this.#append(bytes);
      else this.#others.set(this.#ends.length, cell);
      this.#ends.push(this.#bytes);
    }
    this.#lines.push(line);
    this.#firsts.push(this.#ends.length);
  }

  /** The rows, which may be read when all are added. @param width cells of each row; those that a row lacks are undefined */
  rows(width: number): List<Row> {
    return new LazyList(this.#lines.length, (row) => {
      const first = this.#firsts[row]!;
      const own = this.#firsts[row + 1]! - first;
      const cells = new LazyList(width, (column) => (column < own ? this.#cell(first + column) : undefined));
      return { line: this.#lines[row]!, cells };
    });
  }

  get length(): number {
    return this.#lines.length;
  }

  /** Bytes of all cells, without those that bytes do not hold. */
  get bytes(): number {
    return this.#bytes;
  }

  #bytesOf(cell: unknown): Uint8Array | undefined {
    if (cell === undefined) return MISSING;
    // Half of a surrogate pair has no UTF-8.
    if (typeof cell === "string" && !/\p{Surrogate}/u.test(cell)) return this.#encoder.encode(cell);
    if (!isJson(cell)) return undefined;
    const json = this.#encoder.encode(`.${JSON.stringify(cell)}`);
    json[0] = JSON_MARK;
    return json;
  }

  #append(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; ) {
      const at = this.#bytes % BLOCK;
      if (at === 0) this.#blocks.push(new Uint8Array(BLOCK));
      const part = bytes.subarray(from, from + BLOCK - at);
      this.#blocks.at(-1)!.set(part, at);
      from += part.length;
      this.#bytes += part.length;
    }
  }

  #cell(cell: number): unknown {
    if (this.#others.has(cell)) return this.#others.get(cell);
    const bytes = this.#between(cell === 0 ? 0 : this.#ends[cell - 1]!, this.#ends[cell]!);
    if (bytes[0] !== JSON_MARK) return this.#decoder.decode(bytes);
    return bytes.length === 1 ? undefined : JSON.parse(this.#decoder.decode(bytes.subarray(1)));
  }

  #between(start: number, end: number): Uint8Array {
    const at = start % BLOCK;
    const block = this.#blocks[Math.floor(start / BLOCK)]?.subarray(at, at + end - start) ?? new Uint8Array();
    if (block.length === end - start) return block;
    const whole = new Uint8Array(end - start);
    whole.set(block);
    whole.set(this.#between(start + block.length, end), block.length);
    return whole;
  }
}

/** Whether JSON gives the same value back. */
function isJson(value: unknown): boolean {
  if (value === null || typeof value === "string" || typeof value === "boolean") return true;
  if (typeof value === "number") return Number.isFinite(value) && !Object.is(value, -0);
  if (Array.isArray(value)) return value.every(isJson);
  return (
    typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype && Object.values(value).every(isJson)
  );
}
