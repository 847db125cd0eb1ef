/** What stands for bytes that are no whole character yet. */
const INCOMPLETE = "\ufffd";

/** An answer's tokens as text, as they come; its stop strings end it and are left out. */
export class AnswerText {
  readonly #decode: (ids: readonly number[]) => string;
  readonly #stop: readonly string[];
  readonly #ids: number[] = [];
  /** Tokens from here on are decoded together: some of the known ones lead in what is new. */
  #start = 0;
  /** Tokens up to here are in the text. */
  #known = 0;
  /** Text that may be the beginning of a stop string. */
  #held = "";
  #stopped = false;

  /** @param decode ids → text, special tokens left out */
  constructor(decode: (ids: readonly number[]) => string, stop: readonly string[]) {
    this.#decode = decode;
    this.#stop = stop;
  }

  /** Whether a stop string came. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Takes a token; returns the text that is certain by now and was not returned before. */
  push(token: number): string {
    this.#ids.push(token);
    const known = this.#decode(this.#ids.slice(this.#start, this.#known));
    const all = this.#decode(this.#ids.slice(this.#start));
    if (all.length <= known.length || all.endsWith(INCOMPLETE)) return "";
    this.#start = this.#known;
    this.#known = this.#ids.length;
    return this.#release(all.slice(known.length));
  }

  /** Text that was held back, where no more tokens come. */
  finish(): string {
    if (this.#stopped) return "";
    const known = this.#decode(this.#ids.slice(this.#start, this.#known));
    const last = this.#release(this.#decode(this.#ids.slice(this.#start)).slice(known.length));
    const held = this.#stopped ? "" : this.#held;
    this.#held = "";
    this.#known = this.#ids.length;
    return last + held;
  }

  #release(more: string): string {
    if (this.#stopped) return "";
    const text = this.#held + more;
    const ends = this.#stop.map((stop) => text.indexOf(stop)).filter((place) => place >= 0);
    if (ends.length > 0) {
      this.#stopped = true;
      this.#held = "";
      return text.slice(0, Math.min(...ends));
    }
    const held = Math.max(0, ...this.#stop.map((stop) => begunBy(text, stop)));
    this.#held = text.slice(text.length - held);
    return text.slice(0, text.length - held);
  }
}

/** How many of the last characters of `text` are the first of `stop`. */
function begunBy(text: string, stop: string): number {
  let length = Math.min(stop.length - 1, text.length);
  while (length > 0 && !text.endsWith(stop.slice(0, length))) length--;
  return length;
}
