export class TrainingSwitch {
  #abort = new AbortController();
  #pause: { wait: Promise<void>; end: () => void } | undefined;

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Prepares for a new run: a pause or stop of the run before does not count. */
  reset(): void {
    this.resume();
    this.#abort = new AbortController();
  }

  pause(): void {
    let end = (): void => {};
    const wait = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#pause ??= { wait, end };
  }

  resume(): void {
    this.#pause?.end();
    this.#pause = undefined;
  }

  stop(): void {
    this.#abort.abort();
    this.resume();
  }

  /** Lets messages of the page in, because steps block this thread, and waits during a pause. */
  async turn(): Promise<void> {
    await new Promise<void>((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => resolve();
      port2.postMessage(undefined);
    });
    await this.#pause?.wait;
  }
}
