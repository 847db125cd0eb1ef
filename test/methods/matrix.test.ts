import { expect, test } from "vitest";
import { float32 } from "../../src/graph/tensor.ts";
import { spreadColumns, spreadRows, takeColumns, takeRows } from "../../src/methods/matrix.ts";

const matrix = float32([3, 4], Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));

test("rows and columns are taken in the order of their indices", () => {
  expect(takeRows(matrix, [2, 0])).toEqual(float32([2, 4], Float32Array.of(9, 10, 11, 12, 1, 2, 3, 4)));
  expect(takeColumns(matrix, [3, 1])).toEqual(float32([3, 2], Float32Array.of(4, 2, 8, 6, 12, 10)));
});

test("rows and columns that are spread are back at their places, among zeros", () => {
  const rows = spreadRows(takeRows(matrix, [2, 0]), [2, 0], 3);
  expect(rows).toEqual(float32([3, 4], Float32Array.of(1, 2, 3, 4, 0, 0, 0, 0, 9, 10, 11, 12)));
  const columns = spreadColumns(takeColumns(matrix, [3, 1]), [3, 1], 4, 2);
  expect(columns).toEqual(float32([3, 4], Float32Array.of(0, 4, 0, 8, 0, 12, 0, 16, 0, 20, 0, 24)));
});
