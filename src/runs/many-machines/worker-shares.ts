import type { WorkerShare } from "../../training/records.ts";

/** Who computed what of a run. */
export class WorkerShares {
  /** Shards in all, by the worker's name. */
  readonly #shards = new Map<string, number>();
  /** Since that was last asked for. */
  #latest = new Map<string, WorkerShare>();

  /** Counts a shard. @param values bytes of what trains, which a worker fetches before its first shard of a step */
  add(name: string, { seconds, bytes, values }: { seconds: number; bytes: number; values: number }): void {
    this.#shards.set(name, (this.#shards.get(name) ?? 0) + 1);
    const { shards, computing, bytes: before } = this.#latest.get(name) ?? { shards: 0, computing: 0, bytes: values };
    this.#latest.set(name, { name, shards: shards + 1, computing: computing + seconds, bytes: before + bytes });
  }

  /** Who computed what since this was last asked for. */
  take(): WorkerShare[] {
    const shares = [...this.#latest.values()];
    this.#latest = new Map();
    return shares;
  }

  /** `lab-1:812 40, lab-2:77 38` */
  get text(): string {
    return [...this.#shards].map(([name, shards]) => `${name} ${shards}`).join(", ");
  }
}
