import { RequestError } from "./openai-requests.ts";

/** Computing requests run one after the other, each with all threads. Generating requests share the threads. */
export class RequestQueue {
  readonly #most: number;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** @param most maximum number of concurrent and waiting requests */
  constructor(most: number) {
    this.#most = most;
  }

  /** Number of requests in progress or waiting. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether another request would be refused. */
  get isFull(): boolean {
    return this.#waiting >= this.#most;
  }

  /**
   * Takes a place in the queue.
   * @returns a function that leaves the place
   * @throws RequestError if too many requests are waiting
   */
  enter(): () => void {
    if (this.isFull) {
      throw new RequestError(503, `${this.#waiting} requests wait already; ask again later`, { code: "overloaded" });
    }
    this.#waiting++;
    return () => {
      this.#waiting--;
    };
  }

  /**
   * Takes a place in the queue, and waits for its turn.
   * @returns a function that ends the turn
   * @throws RequestError as {@link enter}
   */
  async turn(): Promise<() => void> {
    const leave = this.enter();
    const before = this.#last;
    let end!: () => void;
    this.#last = new Promise<void>((resolve) => {
      end = () => {
        leave();
        resolve();
      };
    });
    await before;
    return end;
  }
}
