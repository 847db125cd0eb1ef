import { expect, test } from "vitest";
import { emitted } from "../../src/training/progress.ts";

test("a receiver that leaves ends the work at the event that it has", async () => {
  const taken: number[] = [];
  const events = emitted<number, void>(async (emit) => {
    for (let i = 0; ; i++) {
      await emit(i);
      taken.push(i);
    }
  });
  await events.next();
  expect(await events.next()).toEqual({ done: false, value: 1 });
  await events.return();
  expect(taken).toEqual([0]);
});

test("work that goes on after its receiver has left fails at each event, also at those that it did not wait for", async () => {
  const failed: string[] = [];
  const events = emitted<string, void>(async (emit) => {
    const tell = (event: string) => emit(event).catch(() => void failed.push(event));
    void tell("waiting");
    await tell("taken");
    void tell("late");
  });
  await events.next();
  await events.return();
  expect(failed).toEqual(["waiting", "taken", "late"]);
});
