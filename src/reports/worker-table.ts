import type { StepRecord } from "../training/training-records.ts";
import type { Table } from "./page.ts";
import { number, prefixed, short } from "./quantities.ts";

/** Table of each worker's part of a run's steps, if workers computed them. */
export function workerTables(steps: readonly StepRecord[]): Table[] {
  const found = new Map<string, { shards: number; computing: number; bytes: number; seconds: number }>();
  for (const { workers = [], seconds } of steps) {
    for (const { name, ...did } of workers) {
      const { shards, computing, bytes, seconds: before } = found.get(name) ?? NOTHING;
      found.set(name, {
        shards: shards + did.shards,
        computing: computing + did.computing,
        bytes: bytes + did.bytes,
        seconds: before + seconds,
      });
    }
  }
  if (found.size === 0) return [];
  const all = [...found.values()].reduce((sum, { shards }) => sum + shards, 0);
  const rows = [...found].map(([name, { shards, computing, bytes, seconds }]) => [
    name,
    number(shards),
    `${short((100 * shards) / all)} %`,
    `${short(100 * Math.max(0, 1 - computing / seconds))} %`,
    prefixed(bytes, "B"),
  ]);
  return [
    {
      caption: "Workers",
      columns: ["worker", "micro-batches", "share of all", "share of time spent waiting", "bytes sent and received"],
      rows,
    },
  ];
}

const NOTHING = { shards: 0, computing: 0, bytes: 0, seconds: 0 };
