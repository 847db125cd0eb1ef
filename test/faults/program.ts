import { parseArgs } from "node:util";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** Numbers in `[0, 1)` that a seed names. */
export function randomOf(seed: number): () => number {
  const generator = xoroshiro128plus(seed);
  return () => uniformFloat64(generator);
}

export const pick = <Value>(values: readonly Value[], random: () => number): Value =>
  values[Math.floor(random() * values.length)]!;

/** `--seed 7 --count 100` and the like, each with a default. */
export function optionsOf<Options extends Record<string, number | string>>(
  args: readonly string[],
  defaults: Options,
): Options {
  const options = Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: "string" as const }]));
  const { values } = parseArgs({ args: [...args], options });
  return Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => {
      const given = values[name];
      return [name, given === undefined ? value : typeof value === "number" ? Number(given) : given];
    }),
  ) as Options;
}
