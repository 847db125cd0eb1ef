const INCOMPLETE = "\ufffd";

export class AnswerText {
  readonly #ids: number[] = [];
  /** Start of the tokens that are decoded together: some known tokens provide context for new ones. */
  #start = 0;
  #known = 0;
  #pending = "";
  #stopped = false;

  constructor(
    private readonly decode: (ids: readonly number[]) => string,
    private readonly stop: readonly string[],
  ) {}

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Adds a token. Returns the text that is now certain and was not returned before. */
  push(token: number): string {
    this.#ids.push(token);
    const known = this.decode(this.#ids.slice(this.#start, this.#known));
    const all = this.decode(this.#ids.slice(this.#start));
    if (all.length <= known.length || all.endsWith(INCOMPLETE)) return "";
    this.#start = this.#known;
    this.#known = this.#ids.length;
    return this.#release(all.slice(known.length));
  }

  finish(): string {
    if (this.#stopped) return "";
    const known = this.decode(this.#ids.slice(this.#start, this.#known));
    const last = this.#release(this.decode(this.#ids.slice(this.#start)).slice(known.length));
    const pending = this.#stopped ? "" : this.#pending;
    this.#pending = "";
    this.#known = this.#ids.length;
    return last + pending;
  }

  #release(more: string): string {
    if (this.#stopped) return "";
    const text = this.#pending + more;
    const ends = this.stop.map((stop) => text.indexOf(stop)).filter((place) => place >= 0);
    if (ends.length > 0) {
      this.#stopped = true;
      this.#pending = "";
      return text.slice(0, Math.min(...ends));
    }
    const pending = Math.max(0, ...this.stop.map((stop) => partialStopLength(text, stop)));
    this.#pending = text.slice(text.length - pending);
    return text.slice(0, text.length - pending);
  }
}

function partialStopLength(text: string, stop: string): number {
  let length = Math.min(stop.length - 1, text.length);
  while (length > 0 && !text.endsWith(stop.slice(0, length))) length--;
  return length;
}
