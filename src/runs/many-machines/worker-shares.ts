import type { WorkerShare } from "../../training/training-records.ts";

/** Counts the shards that each worker computed. */
export class WorkerShares {
  /** Total shards by worker name. */
  readonly #shards = new Map<string, number>();
  /** Shares since the last `take`. */
  #latest = new Map<string, WorkerShare>();

  /** Counts a shard. @param values bytes of trainable parameters, which a worker fetches before its first shard of a step */
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
