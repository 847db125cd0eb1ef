/** Text such as `1 h 02 min`, `3 min 20 s` or `12 s`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole >= 3600)
    return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
  if (whole >= 60) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${seconds < 10 ? seconds.toFixed(1) : whole} s`;
}

/** Text such as `343 MB` or `1.2 GB`, in powers of 1000. */
export function bytes(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} GB`;
  if (count >= 1e6) return `${Math.round(count / 1e6)} MB`;
  return `${Math.round(count / 1e3)} kB`;
}

/** Text such as `3` or `2.67`. */
export const epochs = (done: number): string => String(Number(done.toFixed(2)));

/** Text such as `113,040`. */
export const integer = (count: number): string => Math.round(count).toLocaleString("en-US");

/** Text such as `accuracy 0.8521 ± 0.0110, f1 0.8990 ± 0.0080`, with standard errors if they are known. */
export const metrics = (
  values: Readonly<Record<string, number>>,
  errors: Readonly<Record<string, number>> = {},
): string =>
  Object.entries(values)
    .map(([name, value]) => `${name} ${value.toFixed(4)}${name in errors ? ` ± ${errors[name]!.toFixed(4)}` : ""}`)
    .join(", ");

/** Formats rows in padded columns, with numbers right-aligned. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => rows.reduce((most, row) => Math.max(most, row[column]!.length), 0));
  const isNumber = rows[0]!.map((_, column) => rows.slice(1).every((row) => /^[\d.,%×–-]*$/.test(row[column]!)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (isNumber[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Table of metrics of several systems; a dash for a missing metric. */
export function comparedTable(systems: Readonly<Record<string, Readonly<Record<string, number>>>>): string {
  const [names, values] = [Object.keys(systems), Object.values(systems)];
  return table([
    ["", ...names],
    ...Object.keys(values[0]!).map((metric) => [metric, ...values.map((of) => of[metric]?.toFixed(4) ?? "–")]),
  ]);
}

/** Text such as `1 step` or `1,200 steps`. */
export const counted = (count: number, noun: string, plural = `${noun}s`): string =>
  `${integer(count)} ${count === 1 ? noun : plural}`;
