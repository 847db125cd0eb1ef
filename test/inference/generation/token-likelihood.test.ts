import { expect, test } from "vitest";
import { likelihoods } from "../../../src/inference/generation/token-likelihood.ts";

test("likelihoods are logarithms of the softmax, and the likeliest are in order", () => {
  const logits = Float32Array.of(1, 3, Number.NEGATIVE_INFINITY, 2);
  const whole = Math.exp(1) + Math.exp(3) + Math.exp(2);
  const of = likelihoods(logits, 2);
  logits.fill(0);
  expect(of(0).token).toBe(0);
  expect(of(0).logProbability).toBeCloseTo(Math.log(Math.exp(1) / whole), 6);
  expect(of(2).logProbability).toBe(Number.NEGATIVE_INFINITY);
  expect(of(0).likeliest.map(({ token }) => token)).toEqual([1, 3]);
  expect(of(0).likeliest[0]!.logProbability).toBeCloseTo(Math.log(Math.exp(3) / whole), 6);
  expect(likelihoods(logits, 0)(1).likeliest).toEqual([]);
});
