/** An event of ONNX Runtime's profile; times are microseconds. */
export interface ProfileEvent {
  cat: string;
  name: string;
  dur: number;
  ts: number;
  args?: { op_name?: string };
}

const milliseconds = (microseconds: number): string => (microseconds / 1000).toFixed(2);

/**
 * Where the time of a graph's runs goes: its kernels by the part of the step and the op of the graph that they belong to, the longest first.
 * @param what was run
 * @param warmUp runs that do not count
 */
export function kernelTable(what: string, events: readonly ProfileEvent[], warmUp: number): string {
  const runs = events.filter(({ name }) => name === "model_run").sort((a, b) => a.ts - b.ts);
  const measured = runs.slice(warmUp);
  // A kernel's fastest run is what it takes where nothing else wants the processor.
  const fastest = new Map<string, { microseconds: number; key: string }>();
  for (const { cat, name, dur, ts, args } of events) {
    if (cat !== "Node" || !name.endsWith("_kernel_time") || ts < measured[0]!.ts) continue;
    const origin = name.slice(0, name.lastIndexOf("/")).replaceAll("/", " ");
    const known = fastest.get(name);
    const key = `${origin.padEnd(34)} ${args!.op_name}`;
    fastest.set(name, { key, microseconds: Math.min(dur, known?.microseconds ?? dur) });
  }
  const totals = new Map<string, { microseconds: number; count: number }>();
  for (const { key, microseconds } of fastest.values()) {
    const total = totals.get(key) ?? { microseconds: 0, count: 0 };
    totals.set(key, { microseconds: total.microseconds + microseconds, count: total.count + 1 });
  }
  const all = [...totals.values()].reduce((sum, { microseconds }) => sum + microseconds, 0);
  const lines = [...totals].sort(([, a], [, b]) => b.microseconds - a.microseconds);
  return [
    `${what}: ${milliseconds(all)} ms in ${fastest.size} kernels, each the fastest of ${measured.length} runs;`,
    `a whole run at best ${milliseconds(Math.min(...measured.map(({ dur }) => dur)))} ms`,
    ...lines.map(
      ([key, { microseconds, count }]) =>
        `${milliseconds(microseconds).padStart(9)} ms ${((100 * microseconds) / all).toFixed(1).padStart(5)} % ${String(count).padStart(4)} × ${key}`,
    ),
  ].join("\n");
}
