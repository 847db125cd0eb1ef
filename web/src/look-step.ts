import { byId, element } from "./dom.ts";
import type { DrawingHandlers } from "./drawing-worker.ts";
import type { RunRecords } from "./saved-run.ts";
import type { Called } from "./worker-calls.ts";

const PAUSE = 1000;
/** Drawing takes at most one part in this many of the time. */
const SHARE = 20;

export class LookStep {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #drawn: string[] = [];
  #next = 0;

  constructor(private readonly drawing: Called<DrawingHandlers>) {}

  follow(records: RunRecords): void {
    this.#timer ??= setTimeout(() => void this.draw(records), Math.max(0, this.#next - performance.now()));
  }

  async draw(records: RunRecords): Promise<void> {
    clearTimeout(this.#timer);
    const started = performance.now();
    const pictures = await this.drawing.draw(records);
    await this.#show(pictures);
    const took = performance.now() - started;
    this.#next = performance.now() + Math.max(PAUSE, SHARE * took);
    this.#timer = undefined;
  }

  /** Replaces the pictures that have changed, one at a time: replacing all at once would block the page. */
  async #show(pictures: readonly string[]): Promise<void> {
    const place = byId("pictures", HTMLElement);
    while (place.childElementCount > pictures.length) place.lastElementChild!.remove();
    for (const [i, picture] of pictures.entries()) {
      if (this.#drawn[i] === picture && place.children[i]) continue;
      const slot = place.children[i] ?? place.appendChild(element("div"));
      const open = slot.querySelector("details")?.open;
      // Markup of reports, in which all texts are escaped.
      slot.innerHTML = picture;
      if (open) slot.querySelector("details")!.open = true;
      await new Promise((resolve) => setTimeout(resolve));
    }
    this.#drawn = [...pictures];
  }
}
