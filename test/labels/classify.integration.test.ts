import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import type { FineTunedModel } from "../../src/inference/fine-tuned-model.ts";
import { loadEmbedder } from "../../src/inference/load-embedder-node.ts";
import { classifyByLabels } from "../../src/labels/classify-by-labels.ts";
import { labelsOfList, labelsOfTable } from "../../src/labels/named-labels.ts";
import { readLabels } from "../../src/labels/read-labels-node.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { dot } from "../../src/tasks/vectors.ts";
import { aflora, afloraHere } from "../support/aflora.ts";

let home: string;
let encoder: FineTunedModel;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-classify-"));
  encoder = await loadEmbedder(undefined, nodeRuntime({ threads: 1 }));
});
afterAll(async () => {
  await encoder.release();
  await rm(home, { recursive: true });
});

const TEXTS = ["My card was charged twice", "The app crashes at the start", "When will my parcel be here?"];

describe("labels are given", () => {
  test("in a list, in columns, or one per line; one may have several descriptions", async () => {
    const billing = { name: "billing", descriptions: ["money = cards"] };
    expect(labelsOfList(" billing = money = cards ,bug")).toEqual([billing, { name: "bug", descriptions: [] }]);
    const rows = [
      ["billing", "money = cards"],
      ["bug", ""],
      ["billing", "refunds, too"],
    ];
    const table = { source: "", columns: ["label", "description"], rows: rows.map((cells, line) => ({ line, cells })) };
    expect(labelsOfTable(table)).toEqual([
      { name: "billing", descriptions: ["money = cards", "refunds, too"] },
      { name: "bug", descriptions: [] },
    ]);
    await writeFile(join(home, "labels.txt"), "billing=money = cards\n\nbug\n");
    expect(await readLabels(join(home, "labels.txt"))).toEqual(labelsOfList("billing=money = cards,bug"));
  });

  test.each(["bug", "bug,bug", "bug,,billing", ""])("%j are none", (list) => {
    expect(() => labelsOfList(list)).toThrow(UserError);
  });
});

test("a text gets the label with the nearest meaning, by name or description", async () => {
  const found = await classifyByLabels(encoder, ["payment", "software_error", "delivery"], TEXTS);
  expect(found.map(([best]) => best!.label)).toEqual(["payment", "software_error", "delivery"]);
  const labels = [
    { name: "a", descriptions: ["money and cards"] },
    { name: "b", descriptions: ["programs that fail", "crashes of the app"] },
    { name: "c", descriptions: ["orders on their way"] },
  ];
  const [first, second, third] = await classifyByLabels(encoder, labels, TEXTS);
  expect([first, second, third].map((scores) => scores![0]!.label)).toEqual(["a", "b", "c"]);
  const [text, label] = await encoder.embed([TEXTS[0]!, "a: money and cards"]);
  expect(first![0]!.score).toBeCloseTo(dot(text!, label!), 5);
});

describe("the command", () => {
  test("labels texts from arguments and stdin the same way, and shows all scores on request", async () => {
    const args = ["classify", "--labels", "payment,software error,delivery"];
    const { code, stdout, stderr } = await afloraHere([...args, ...TEXTS], home);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(
      /^payment 0\.\d{3}\tMy card.*\nsoftware error 0\.\d{3}\tThe app.*\ndelivery 0\.\d{3}\tWhen.*\n$/,
    );
    const json = await aflora([...args, "--json"], home, { input: `${TEXTS[0]}\n` });
    const { text, label, labels } = JSON.parse(json.stdout);
    expect([text, label, labels.length]).toEqual([TEXTS[0], "payment", 3]);
  });

  test("writes a file's rows with label and score", async () => {
    await writeFile(join(home, "rows.csv"), `id,message\n1,"My card, charged\ntwice"\n2,The app crashes\n`);
    await writeFile(join(home, "labels.csv"), "label,description\npayment,\nerror,a failing app\n");
    const args = ["classify", "--labels", "labels.csv", "--file", "rows.csv", "--text", "message"];
    const { stdout } = await afloraHere([...args, "--output", "out.csv", "--label", "team"], home);
    expect(stdout).toBe("2 texts: payment 1, error 1\nwritten to out.csv\n");
    expect(await readFile(join(home, "out.csv"), "utf8")).toMatch(
      /^id,message,team,score\n1,"My card, charged\ntwice",payment,0\.\d{4}\n2,The app crashes,error,0\.\d{4}\n$/,
    );
    const refused = await afloraHere([...args, "--output", "out.csv", "--label", "id"], home);
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('has a column "id" already')]);
  });
});
