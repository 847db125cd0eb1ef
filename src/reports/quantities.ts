import type { Spread } from "../studies/statistics.ts";

const plain = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4 });
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 5 });
const prefixes = ["", "k", "M", "G", "T", "P", "E"];

/** A number with four significant digits; integers in full. A dash for NaN and infinity, and for null, which is their form in JSON. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return whole.format(value);
  const size = Math.abs(value);
  return size < 1e-4 || size >= 1e9 ? value.toExponential(2) : size >= 1e4 ? whole.format(value) : plain.format(value);
}

/** Minimum and maximum of any number of values; infinities if there are none. */
export const rangeOf = (values: readonly number[]): [least: number, most: number] =>
  values.reduce<[number, number]>(
    ([least, most], value) => [Math.min(least, value), Math.max(most, value)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );

/** A number with two significant digits, or rounded to an integer if it has more. */
export function short(value: number): string {
  return number(Math.abs(value) >= 10 ? Math.round(value) : Number(value.toPrecision(2)));
}

/** A number with a decimal prefix and its unit, such as `1.23 GB`. */
export function prefixed(value: number, unit: string): string {
  if (!Number.isFinite(value)) return "–";
  const power = Math.min(prefixes.length - 1, Math.max(0, Math.floor(Math.log10(Math.abs(value) || 1) / 3)));
  return `${(value / 1000 ** power).toPrecision(3)} ${prefixes[power]}${unit}`;
}

/** A tick of an axis, such as `150K`. */
export function tick(value: number): string {
  return compact.format(value);
}

/** Seconds in readable units. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60);
  return seconds < 3600
    ? `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A count and its noun, singular or plural. */
export function counted(count: number, one: string, several = `${one}s`): string {
  return `${number(count)} ${count === 1 ? one : several}`;
}

/** A difference with its sign and a fixed number of decimal places, such as `+0.0168`; zero has no sign. */
export function difference(value: number, places: number): string {
  return value.toLocaleString("en-US", {
    signDisplay: "exceptZero",
    minimumFractionDigits: places,
    maximumFractionDigits: places,
  });
}

/** A mean over seeds, with its standard deviation if there are several. */
export function spread({ mean, deviation }: Spread): string {
  return deviation === undefined ? number(mean) : `${number(mean)} ± ${short(deviation)}`;
}

/** Text such as `accuracy 0.9 ± 0.03, macro_f1 0.88 ± 0.04`, with standard errors if they are known. */
export const metricsText = (metrics: Record<string, number>, errors: Record<string, number> = {}): string =>
  Object.entries(metrics)
    .map(([metric, value]) => `${metric} ${number(value)}${metric in errors ? ` ± ${short(errors[metric]!)}` : ""}`)
    .join(", ");
