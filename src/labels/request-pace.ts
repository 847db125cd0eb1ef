export class RequestPace {
  readonly #interval: number;
  #next = 0;

  constructor(perMinute?: number) {
    this.#interval = perMinute === undefined ? 0 : 60_000 / perMinute;
  }

  async turn(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    for (let left = this.#next - performance.now(); left > 0; left = this.#next - performance.now()) {
      await delay(left, signal);
    }
    this.#next = performance.now() + this.#interval;
  }

  rest(milliseconds: number): void {
    this.#next = Math.max(this.#next, performance.now() + milliseconds);
  }
}

function delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (finish: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      finish();
    };
    const abort = (): void => end(() => reject(signal!.reason));
    const timer = setTimeout(() => end(resolve), milliseconds);
    signal?.addEventListener("abort", abort);
  });
}
