import { RequestError } from "./openai-requests.ts";

/** Requests that compute are answered one after the other: each has all threads to itself. Those that write share them. */
export class RequestQueue {
  readonly #most: number;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** @param most requests that wait or are answered, at the most */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Takes a place.
   * @returns what leaves it
   * @throws RequestError where too many wait already.
   */
  enter(): () => void {
    if (this.#waiting >= this.#most) {
      throw new RequestError(503, `${this.#waiting} requests wait already; ask again later`, { code: "overloaded" });
    }
    this.#waiting++;
    return () => {
      this.#waiting--;
    };
  }

  /**
   * Takes a place, and waits for one's turn.
   * @returns what ends it
   * @throws RequestError as {@link enter}.
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
