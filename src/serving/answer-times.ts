/** Measures the time of an answer from its request on. */
export class AnswerTimes {
  readonly #asked = performance.now();
  #first: number | undefined;
  #last = 0;
  #tokens = 0;

  /** Counts a generated token. */
  readonly token = (): void => {
    this.#last = performance.now();
    this.#first ??= this.#last;
    this.#tokens++;
  };

  /** Number of generated tokens. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Text such as `answers: 12 tokens read; 31 written, the first after 0.12 s, then 25.1 a second`. */
  line(model: string, promptTokens: number): string {
    if (this.#first === undefined) return `${model}: ${promptTokens} tokens read; none written`;
    const first = ((this.#first - this.#asked) / 1000).toFixed(2);
    const seconds = (this.#last - this.#first) / 1000;
    const speed = seconds > 0 ? `, then ${((this.#tokens - 1) / seconds).toFixed(1)} a second` : "";
    return `${model}: ${promptTokens} tokens read; ${this.#tokens} written, the first after ${first} s${speed}`;
  }
}
