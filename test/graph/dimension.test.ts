import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Dimension, difference, evaluate, product, ShapeError, sum } from "../../src/graph/dimension.ts";
import { Graph } from "../../src/graph/graph.ts";
import { onnxModel } from "../../src/graph/onnx.ts";
import { add, concat, expand, reshape, sliceSize } from "../../src/graph/ops.ts";
import { asFloat32, float32 } from "../../src/graph/tensor.ts";
import { runtime } from "../support/runtime.ts";

describe("dimensions have a canonical form", () => {
  test.each<[Dimension, Dimension]>([
    [sum(["sequence", "past"]), "past+sequence"],
    [sum([2, "past", 3, "past"]), "2*past+5"],
    [sum([]), 0],
    [product([]), 1],
    [product(["sequence", 2, "batch"]), "2*batch*sequence"],
    [product(["batch", "past+sequence"]), "batch*past+batch*sequence"],
    [product(["past+1", "past+2"]), "3*past+past*past+2"],
    [product(["batch", 0]), 0],
    [difference("past+sequence", "past"), "sequence"],
    [difference("batch+3", "batch"), 3],
  ])("%s is %s", (found, expected) => {
    expect(found).toBe(expected);
  });

  test("sums, differences and products equal those of numbers, in any order", () => {
    const dimension: fc.Arbitrary<Dimension> = fc.letrec<{ dimension: Dimension }>((tie) => ({
      dimension: fc.oneof(
        { maxDepth: 3 },
        fc.nat(4),
        fc.constantFrom("batch", "past", "sequence"),
        fc.tuple(tie("dimension"), tie("dimension")).map(sum),
        fc.tuple(tie("dimension"), tie("dimension")).map(product),
      ),
    })).dimension;
    const sizes = { batch: 2, past: 3, sequence: 5 };
    const value = (size: Dimension) => evaluate(size, sizes);
    fc.assert(
      fc.property(dimension, dimension, dimension, (a, b, c) => {
        expect(value(sum([a, b]))).toBe(value(a) + value(b));
        expect(value(product([a, b]))).toBe(value(a) * value(b));
        expect(value(difference(a, b))).toBe(value(a) - value(b));
        expect(sum([sum([a, b]), c])).toBe(sum([c, sum([b, a])]));
        expect(product([a, sum([b, c])])).toBe(sum([product([c, a]), product([b, a])]));
      }),
      { seed: 1 },
    );
  });

  test("a symbol without a size throws an error that names it", () => {
    expect(() => evaluate("past+sequence", { past: 1 })).toThrow(new ShapeError('no size given for "sequence"'));
  });
});

describe("sums of dimensions in a session", () => {
  test("reshaping, slicing and broadcasting with a past and a sequence", async () => {
    const graph = new Graph();
    const past = graph.leaf("input", "past", "float32", ["batch", "past", 2]);
    const present = graph.leaf("input", "present", "float32", ["sequence", "batch", 2]);
    const keys = concat([past, reshape(present, ["batch", "sequence", 2])], 1);
    expect(keys.shape).toEqual(["batch", "past+sequence", 2]);
    const flat = reshape(keys, [product(["batch", "past+sequence"]), 2]);
    expect(flat.shape).toEqual(["batch*past+batch*sequence", 2]);
    // Inputs give two unknown sizes, a slice's start and an expanded size.
    const turned = reshape(flat, ["past+sequence", "batch", 2]);
    const last = sliceSize(keys, 1, "past", "sequence");
    const wide = expand(graph.constant([7], "float32", [1]), ["past+sequence"]);
    const compiled = await runtime.compile(
      {
        flat,
        turned,
        last,
        sums: add(reshape(turned, ["past+sequence", "2*batch"]), reshape(wide, ["past+sequence", 1])),
      },
      new Map(),
    );
    const found = await compiled.run({
      past: float32([2, 3, 2], Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)),
      present: float32([1, 2, 2], Float32Array.of(13, 14, 15, 16)),
    });
    await compiled.release();
    const joined = [1, 2, 3, 4, 5, 6, 13, 14, 7, 8, 9, 10, 11, 12, 15, 16];
    expect([...asFloat32(found.flat!).data]).toEqual(joined);
    expect([...asFloat32(found.turned!).data]).toEqual(joined);
    expect([...asFloat32(found.last!).data]).toEqual([13, 14, 15, 16]);
    expect([...asFloat32(found.sums!).data]).toEqual(joined.map((x) => x + 7));
  });

  test("a size that no input has throws", () => {
    const graph = new Graph();
    const x = graph.leaf("input", "x", "float32", ["past+sequence", "sequence"]);
    expect(() => onnxModel({ y: expand(graph.constant([1], "float32"), ["past"]), x })).toThrow(
      'no input has a dimension "past"',
    );
  });
});
