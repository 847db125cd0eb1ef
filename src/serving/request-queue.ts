import { RequestError } from "./openai-requests.ts";

/** Requests are answered one after the other: each has all threads to itself. */
export class RequestQueue {
  readonly #most: number;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** @param most requests that wait or are answered, at the most */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Waits for one's turn.
   * @returns what ends it
   * @throws RequestError where too many wait already.
   */
  async turn(): Promise<() => void> {
    if (this.#waiting >= this.#most) {
      throw new RequestError(503, `${this.#waiting} requests wait already; ask again later`, { code: "overloaded" });
    }
    this.#waiting++;
    const before = this.#last;
    let end!: () => void;
    this.#last = new Promise<void>((resolve) => {
      end = () => {
        this.#waiting--;
        resolve();
      };
    });
    await before;
    return end;
  }
}
