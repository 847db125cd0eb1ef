import { expect, test } from "vitest";
import { RequestPace } from "../../src/labels/request-pace.ts";

/** Milliseconds until several requests have had their turns, with what happens once they wait. A busy machine makes it more, never less. */
async function turnsOf(pace: RequestPace, count: number, meanwhile = () => {}): Promise<number> {
  const begun = performance.now();
  const turns = Array.from({ length: count }, () => pace.turn());
  meanwhile();
  await Promise.all(turns);
  return performance.now() - begun;
}

test("waiting requests are sent one after another, at the agreed interval", async () => {
  expect(await turnsOf(new RequestPace(3000), 5)).toBeGreaterThanOrEqual(80);
});

test("none is sent while the server rests, not even those that waited before", async () => {
  const pace = new RequestPace();
  pace.rest(10);
  expect(await turnsOf(pace, 3, () => pace.rest(100))).toBeGreaterThanOrEqual(100);
});
