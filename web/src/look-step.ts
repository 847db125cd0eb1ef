import { byId, element } from "./dom.ts";
import type { DrawingHandlers } from "./drawing-worker.ts";
import type { RunRecords } from "./saved-run.ts";
import type { Called } from "./worker-calls.ts";

/** Milliseconds between two drawings, at the least. */
const PAUSE = 1000;
/** Drawing takes at most one part in this many of the time. */
const SHARE = 20;

/** The pictures of a run, drawn by a worker while it goes on. */
export class LookStep {
  readonly #drawing: Called<DrawingHandlers>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #drawn: string[] = [];
  #next = 0;

  constructor(drawing: Called<DrawingHandlers>) {
    this.#drawing = drawing;
  }

  /** Draws the records when its turn comes: what comes until then is drawn too. */
  follow(records: RunRecords): void {
    this.#timer ??= setTimeout(() => void this.draw(records), Math.max(0, this.#next - performance.now()));
  }

  async draw(records: RunRecords): Promise<void> {
    clearTimeout(this.#timer);
    const started = performance.now();
    const pictures = await this.#drawing.draw(records);
    await this.#show(pictures);
    const took = performance.now() - started;
    this.#next = performance.now() + Math.max(PAUSE, SHARE * took);
    this.#timer = undefined;
  }

  /** Puts each picture that has changed in its place, one at a time: all at once would keep the page from answering. */
  async #show(pictures: readonly string[]): Promise<void> {
    const place = byId("pictures", HTMLElement);
    while (place.childElementCount > pictures.length) place.lastElementChild!.remove();
    for (const [i, picture] of pictures.entries()) {
      if (this.#drawn[i] === picture && place.children[i]) continue;
      const slot = place.children[i] ?? place.appendChild(element("div"));
      const open = slot.querySelector("details")?.open;
      // The reports' markup, in which every text is escaped.
      slot.innerHTML = picture;
      if (open) slot.querySelector("details")!.open = true;
      await new Promise((resolve) => setTimeout(resolve));
    }
    this.#drawn = [...pictures];
  }
}
