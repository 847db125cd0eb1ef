import type { WorkerShare } from "../../training/training-records.ts";

/** Maximum number of notes on workers in a run. Anyone who can reach the server can send any number of messages. */
const MOST = 100;

/** Passes on notes on workers: each once, and a limited number in all. */
export class WorkerNotes {
  readonly #said = new Set<string>();

  constructor(private readonly onNote: (note: string) => void) {}

  say(note: string): void {
    if (this.#said.size > MOST || this.#said.has(note)) return;
    this.#said.add(note);
    this.onNote(this.#said.size > MOST ? "more notes on workers are left out" : note);
  }
}

/** Counts the shards that each worker computed. */
export class WorkerShares {
  /** Total shards by worker name. */
  readonly #shards = new Map<string, number>();
  /** Shares since the last `take`. */
  #latest = new Map<string, WorkerShare>();

  /** @param values bytes of trainable parameters, which a worker fetches before its first shard of a step */
  add(name: string, { seconds, bytes, values }: { seconds: number; bytes: number; values: number }): void {
    this.#shards.set(name, (this.#shards.get(name) ?? 0) + 1);
    const { shards, computing, bytes: before } = this.#latest.get(name) ?? { shards: 0, computing: 0, bytes: values };
    this.#latest.set(name, { name, shards: shards + 1, computing: computing + seconds, bytes: before + bytes });
  }

  /** Returns each worker's share since the last call. */
  take(): WorkerShare[] {
    const shares = [...this.#latest.values()];
    this.#latest = new Map();
    return shares;
  }

  /** Text such as `lab-1:812 40, lab-2:77 38`. */
  get text(): string {
    return [...this.#shards].map(([name, shards]) => `${name} ${shards}`).join(", ");
  }
}
