import { expect, test } from "vitest";
import { LazyList, listOf, MOST_KEPT, mapped, picked } from "../../src/tasks/list.ts";

test("a list that makes its items answers as an array of them does", () => {
  const array = [3, 1, 4, 1, 5];
  const list = new LazyList(array.length, (i) => array[i]!);
  expect([...list]).toEqual(array);
  for (const index of [-6, -5, -1, 0, 4, 5]) expect(list.at(index)).toBe(array.at(index));
  expect(list.map((item, i) => item * i)).toEqual(array.map((item, i) => item * i));
  expect(list.filter((item, i) => item === 1 && i > 1)).toEqual([1]);
  expect([list.some((item) => item > 4), list.some((item) => item > 5)]).toEqual([true, false]);
  expect([list.every((item) => item > 0), list.every((_, i) => i < 4)]).toEqual([true, false]);
  for (const [start, end] of [[], [2], [-2], [1, 3], [1, -1], [3, 2], [-9, 9]]) {
    expect(list.slice(start, end)).toEqual(array.slice(start, end));
  }
  for (const kept of [array, list]) {
    expect([...picked(kept, [4, 0, 0])]).toEqual([5, 3, 3]);
    expect([...mapped(kept, (item, i) => item + i)]).toEqual([3, 2, 6, 4, 9]);
  }
});

test("the items of a short list are kept, and those of a long one are made again each time", () => {
  let made = 0;
  const item = (i: number) => {
    made++;
    return { i };
  };
  const [short, long] = [listOf(10, item), listOf(MOST_KEPT + 1, item)];
  expect(made).toBe(MOST_KEPT + 11);
  expect(short.at(3)).toBe(short.at(3));
  expect(long.at(MOST_KEPT)).toEqual({ i: MOST_KEPT });
  expect(made).toBe(MOST_KEPT + 12);
  const refuses = () =>
    listOf(MOST_KEPT + 1, (i) => {
      if (i === MOST_KEPT) throw new Error("the last row");
      return i;
    });
  expect(refuses).toThrow("the last row");
});
