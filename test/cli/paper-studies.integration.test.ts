import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { withNeeds } from "../../scripts/paper-needs.ts";
import { afloraHere, expectRefusal } from "../support/aflora.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const page = readFileSync(join(ROOT, "docs/paper.md"), "utf8");
const commands = [...page.matchAll(/^\|[^|]*\| `aflora ([^`]*)` \|/gm)].map(([, command]) => command!);

describe("the commands of docs/paper.md", () => {
  test("repeat each row of the paper's three tables, its ablations and its figures", () => {
    const rows = ["full", "lora", "adalora", "sora", "vera", "aflora"].map(
      (method) => `glue.yaml --vary method=${method}`,
    );
    for (const table of ["gsm8k", "summarization"]) {
      rows.push(...["lora", "aflora"].map((method) => `${table}.yaml --vary method=${method}`));
    }
    rows.push(
      ...["what-freezes", "freezing-score", "freezing-schedule", "freezing-order", "cost"].map(
        (name) => `${name}.yaml`,
      ),
    );
    expect(commands).toEqual(rows.map((row) => `study studies/paper/${row}`));
  });

  test.each(commands)("%s: its estimate needs neither data nor weights", async (command) => {
    const { code, stdout } = await afloraHere([...command.split(" "), "--offline", "--estimate"], ROOT);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\d+ trials?, one after another: about .* on laptop .* on GPU .* of memory\n/);
  });

  test("need what the page's table says", async () => {
    expect(await withNeeds(page)).toBe(page);
  });
});

describe("study --estimate", () => {
  const study =
    "vary: { rank: [2, 4] }\noptions: { method: aflora, task: rte, epochs: 2, batchSize: 10 }\nholdOut: 0\nseeds: [1, 2]\n";
  const written = async (text: string): Promise<string> => {
    const folder = await mkdtemp(join(tmpdir(), "aflora-estimate-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, "ranks.yaml"), text);
    return folder;
  };
  const config = join(ROOT, "test/fixtures/models/bert-1/config.json");
  const sizes = (data: string): string =>
    `estimate:\n  model: ${JSON.stringify(config)}\n  speeds: { slow: 1, fast: 10 }\n  data: ${data}\n`;

  test("counts steps, operations and memory of every trial from the sizes in the file", async () => {
    const folder = await written(study + sizes("{ rte: { rows: 95, scored: 20, tokens: 16 } }"));
    const { stdout } = await afloraHere(["study", "ranks.yaml", "--estimate", "--json"], folder);
    const { trials, flops, memory, costs } = JSON.parse(stdout);
    expect(trials).toBe(4);
    expect(costs.map((cost: { label: string; steps: number }) => [cost.label, cost.steps])).toEqual([
      ["rank 2", 20],
      ["rank 4", 20],
    ]);
    expect(flops).toBe(2 * (costs[0].flops + costs[1].flops));
    expect(costs[1].flops).toBeGreaterThan(costs[0].flops);
    expect(memory).toBe(Math.max(costs[0].memory, costs[1].memory));
    const twice = await afloraHere(["study", "ranks.yaml", "--estimate", "--json", "--epochs", "4"], folder);
    // Evaluations before the first step and after the last are the same.
    const ratio = JSON.parse(twice.stdout).flops / flops;
    expect(ratio).toBeGreaterThan(1.8);
    expect(ratio).toBeLessThan(2);
  });

  test.each([
    ["", /the study has no sizes to estimate from; add the key "estimate"/],
    [sizes("{ cola: { rows: 9, scored: 2, tokens: 8 } }"), /"estimate\.data" has no sizes of rte; add rows/],
  ])("refuses a study without the sizes: %j", async (more, message) => {
    const folder = await written(study + more);
    expectRefusal(await afloraHere(["study", "ranks.yaml", "--estimate"], folder), message);
  });
});
