import { expect, test } from "vitest";
import { parseDuration } from "../../src/cli/duration.ts";

test("times are read in seconds, minutes and hours", () => {
  expect(["30s", "1.5m", "2h"].map((text) => parseDuration("--until-idle", text))).toEqual([30, 90, 7200]);
});

test.each(["", "10", "m", "-1s", "1e9s", "1d"])("%j is not a time", (text) => {
  expect(() => parseDuration("--until-idle", text)).toThrow("--until-idle takes a time such as 30s, 10m or 1h");
});
