/** Maximum number of notes on workers in a run. Anyone who can reach the server can send any number of messages. */
const MOST = 100;

/** Passes on notes on workers: those of each worker once, and a limited number in all. */
export class WorkerNotes {
  readonly #onNote: (note: string) => void;
  readonly #said = new Set<string>();

  constructor(onNote: (note: string) => void) {
    this.#onNote = onNote;
  }

  say(note: string): void {
    if (this.#said.size > MOST || this.#said.has(note)) return;
    this.#said.add(note);
    this.#onNote(this.#said.size > MOST ? "more notes on workers are left out" : note);
  }
}
