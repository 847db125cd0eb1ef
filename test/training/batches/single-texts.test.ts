import { expect, test } from "vitest";
import { float32 } from "../../../src/graph/tensor.ts";
import { singleTexts } from "../../../src/training/batches/single-texts.ts";

test("each text of an example becomes one with the targets of its rows, and an index of its own", () => {
  const [own, second, third] = [3, 5, 4].map((length) => ({
    inputIds: new Int32Array(length).fill(7),
    tokenTypeIds: new Int32Array(length),
  }));
  const targets = float32([4, 2], Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  const texts = [{ encoding: second!, rows: Int32Array.of(0, 2) }, { encoding: third! }];
  const alone = { index: 10, encoding: own!, targets: float32([1, 2]) };
  const found = singleTexts([{ index: 9, encoding: own!, texts, targets }, alone]);
  expect(found.map(({ encoding }) => encoding)).toEqual([own, second, third, own]);
  expect(found.map((each) => each.targets!.shape)).toEqual([
    [1, 2],
    [2, 2],
    [1, 2],
    [1, 2],
  ]);
  expect(found.slice(0, 3).map((each) => [...each.targets!.data])).toEqual([
    [1, 2],
    [3, 4, 5, 6],
    [7, 8],
  ]);
  // Dropout masks follow from these numbers: a checkpoint of an earlier version continues with the same masks.
  const step = 0x9e3779b9;
  expect(found.map(({ index }) => index)).toEqual([9, 9 + step, (9 + 2 * step) % 2 ** 32, 10]);
});
