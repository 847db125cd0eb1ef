import { expect, test } from "vitest";
import { SHELL, shell, walk } from "./walk.ts";

walk(["README.md"]);
walk(["docs/learn-classify.md"], (folder) => {
  test.skipIf(!SHELL)("a model trained on what a spreadsheet wrote labels it", async () => {
    const { labels } = JSON.parse(
      await shell('aflora predict --run runs/tickets --json "My card was charged twice"', folder),
    );
    expect(labels.map(({ label }: { label: string }) => label).sort()).toEqual([
      "account",
      "billing",
      "shipping",
      "technical",
    ]);
    const lines = (await shell("aflora predict --run runs/tickets --file tickets.csv --text message --json", folder))
      .trimEnd()
      .split("\n");
    expect(JSON.parse(lines[0]!).text.replace("\r", "")).toBe('They said "paid" 😀,\nbut my card was charged twice');
    expect(lines).toHaveLength(90);
  });
});
