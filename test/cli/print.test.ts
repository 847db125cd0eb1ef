import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { withoutControls } from "../../src/cli/terminal/print.ts";

test("control sequences in names and answers are printed as text, and JSON keeps its meaning", () => {
  const hostile = "bill\u001b]0;owned\u0007ing\u009b2J\u007f\r";
  expect(withoutControls(`${hostile}\n\tnext`)).toBe("bill\\u001b]0;owned\\u0007ing\\u009b2J\\u007f\\u000d\n\tnext");
  expect(JSON.parse(withoutControls(JSON.stringify({ label: hostile })))).toEqual({ label: hostile });
});

test("commands write only through the functions that do so", async () => {
  const cli = fileURLToPath(new URL("../../src/cli", import.meta.url));
  const files = await readdir(cli, { recursive: true });
  const direct: string[] = [];
  for (const file of files.filter((name) => name.endsWith(".ts"))) {
    if (/process\.std(out|err)\.write|console\./.test(await readFile(join(cli, file), "utf8"))) direct.push(file);
  }
  // `main.ts` reports a broken output in words of its own, and the bar of a download moves the cursor.
  expect(direct.toSorted()).toEqual(["main.ts", join("terminal", "download-line.ts"), join("terminal", "print.ts")]);
});
