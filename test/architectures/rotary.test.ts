import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ropeSettings, rotaryPositions } from "../../src/architectures/rotary.ts";

interface Case {
  settings: { rope_type: string };
  frequencies: number[];
  factor: number;
}

const CASES = JSON.parse(readFileSync(new URL("../fixtures/rotary.json", import.meta.url), "utf8")) as Case[];

test.each(CASES)("frequencies equal transformers' (oracle/rotary.py): $settings.rope_type", (each) => {
  const found = rotaryPositions(ropeSettings.parse(each.settings), { theta: 10_000, size: 64, maxLength: 8192 });
  expect(found.factor).toBeCloseTo(each.factor, 6);
  expect(found.frequencies).toHaveLength(each.frequencies.length);
  for (const [pair, frequency] of each.frequencies.entries()) {
    expect(Math.abs(found.frequencies[pair]! / frequency - 1), `pair ${pair}`).toBeLessThan(1e-5);
  }
});
