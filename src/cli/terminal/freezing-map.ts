import { inOrder, placer } from "../../reports/matrix-places.ts";
import type { FreezingRecord } from "../../training/training-records.ts";

/** From the matrices that froze first to those that froze last. */
const SHADES = ["░", "▒", "▓", "█"];
const TRAINS = "·";

/** The matrices of a run as matrix × block, darker the later they froze. */
export class FreezingMap {
  /** Step at which each matrix froze, or undefined while it trains. */
  readonly #frozenAt = new Map<string, number | undefined>();

  /** Adds a check of the freezing schedule. */
  take({ step, scores, frozen }: FreezingRecord): void {
    for (const matrix of Object.keys(scores)) if (!this.#frozenAt.has(matrix)) this.#frozenAt.set(matrix, undefined);
    for (const matrix of frozen) this.#frozenAt.set(matrix, step);
  }

  /** Draws the map; no lines if nothing froze, or if it is larger than this. */
  lines(columns: number, rows: number): string[] {
    const steps = [...this.#frozenAt.values()].filter((step) => step !== undefined);
    const [first, last] = [Math.min(...steps), Math.max(...steps)];
    const shadeOf = (step: number): string =>
      SHADES[Math.floor(((SHADES.length - 1) * (step - first)) / Math.max(1, last - first))]!;
    const place = placer(this.#frozenAt.keys());
    const cells = [...this.#frozenAt].map(([matrix, step]) => ({ ...place(matrix), step }));
    const blocks = inOrder(cells.map(({ block }) => block));
    const kinds = [...new Set(cells.map(({ kind }) => kind))];
    const label = Math.max(...kinds.map(({ length }) => length), "block".length);
    const room = columns - label - 2;
    if (steps.length === 0 || blocks.length > room || kinds.length + 2 > rows) return [];
    const wide = 3 * blocks.length <= room;
    const signOf = (kind: string, block: string): string => {
      const cell = cells.find((each) => each.block === block && each.kind === kind);
      const sign = cell === undefined ? " " : cell.step === undefined ? TRAINS : shadeOf(cell.step);
      return wide ? ` ${sign.repeat(2)}` : sign;
    };
    const numbers = wide ? blocks.map((block) => block.padStart(3)).join("") : `${blocks[0]} to ${blocks.at(-1)}`;
    return [
      `${"block".padEnd(label)} ${numbers}`,
      ...kinds.map((kind) => `${kind.padEnd(label)} ${blocks.map((block) => signOf(kind, block)).join("")}`),
      `frozen: ${steps.length} of ${cells.length} matrices, ${SHADES[0]} first, ${SHADES.at(-1)} last; ${TRAINS} still trains`,
    ];
  }
}
