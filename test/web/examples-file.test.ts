import { expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { readExamples } from "../../web/src/examples-file.ts";

test("a file of very many short rows is refused before its rows fill the memory", async () => {
  const rows = "a\n".repeat(2 ** 19);
  const read = (times: number) => readExamples({ name: "rows.txt", file: new Blob(Array(times).fill(rows)) });
  const reading = read(5);
  await expect(reading).rejects.toThrow(
    "rows.txt has more than 2,000,000 rows, which a page does not take; give a part of them, or train it with npx aflora train",
  );
  await expect(reading).rejects.toBeInstanceOf(UserError);
  expect((await read(1)).rows).toHaveLength(2 ** 19);
});
