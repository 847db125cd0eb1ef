import { expect, test } from "vitest";
import { blocksOf, PAGES } from "./pages.ts";

test("only what needs the hub, a GPU, a browser, Python, a clone or a client is not run", () => {
  const reasons = PAGES.flatMap(blocksOf).flatMap(({ place, notRun }) =>
    notRun === undefined ? [] : `${place}: ${notRun}`,
  );
  const needed = /: (the hub|downloads CUDA|in a (browser|clone)|a server|Python|the walk has|a file of the sources)/;
  expect(reasons.filter((reason) => !needed.test(reason))).toEqual([]);
});
