import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { expect, test } from "vitest";
import { drawTable } from "../../scripts/draw-tables.ts";
import { summaryTables, withTables } from "../../scripts/summary-tables.ts";
import { linksOf, PAGES, ROOT, textOf } from "./pages.ts";

const summaries = readdirSync(`${ROOT}/studies/results`);

test("the pages of results have the tables of their studies' summaries, or a link to them", () => {
  expect(summaries.length).toBeGreaterThan(0);
  const shown: string[] = [];
  for (const page of PAGES) {
    const made = withTables(textOf(page), (path) => {
      shown.push(path);
      return readFileSync(`${ROOT}/${path}`, "utf8");
    });
    expect(textOf(page), page).toBe(made);
    shown.push(...linksOf(page).map(({ file }) => posix.normalize(posix.join(posix.dirname(page), file))));
  }
  expect(shown).toEqual(expect.arrayContaining(summaries.map((name) => `studies/results/${name}`)));
});

test("a summary's tables: scores over seeds, paired differences, learning rates that were tried", () => {
  const heading =
    "method,learningRate,id,data,stage,seed,status,epochs,metric,heldOut,heldOutLoss,score,error,sameAnswer,trainableStart,trainable,trainableEnd,seconds,secondsPerStep,peakMemory,flops,reason,accuracy";
  const trial = (setting: string, seed: number, score: number, stage = "", status = "finished") =>
    `${setting},0.01,x,cola,${stage},${seed},${status},6,mcc,${score - 0.1},0.5,${score},0.03,0,200,${140 + 10 * seed},100,60,0.5,2e9,3e12,,${score + 0.1}`;
  const csv = [
    heading,
    ...[trial("lora", 1, 0.5), trial("lora", 2, 0.6), trial("aflora", 1, 0.52), trial("aflora", 2, 0.621)],
    ...[trial("aflora", 3, 0.9, "", "open"), trial("aflora", 1, 0.52, "tried")],
  ].join("\n");
  const tables = summaryTables(csv);
  const [head, , lora, aflora] = tables.split("\n");
  expect(head).toBe(
    "| setting | learning rate | seeds | cola mcc | − lora | held out | trainable: start, average, end |",
  );
  expect(lora).toBe("| lora | 0.01 | 2 | 0.55 ± 0.071 |  | 0.45 ± 0.071 | 200, 155, 100 |");
  // Differences 0.02 and 0.021: a mean of 0.0205 with a standard error of 0.0005, 41 of which are beyond chance.
  expect(aflora).toContain("| 0.5705 ± 0.071 | +0.0205 ± 0.0005 * |");
  expect(tables).toContain("a score's standard error is about 0.03. Giving all examples the same answer scores 0.");
  expect(tables).toContain("| aflora | 0.01: 0.42 (0.52) |");
  const [, , withAccuracy] = summaryTables(csv, ["accuracy"]).split("\n");
  expect(withAccuracy).toBe("| lora | 0.01 | 2 | 0.55 ± 0.071 |  | 0.65 ± 0.071 | 0.45 ± 0.071 | 200, 155, 100 |");
});

test("a table of draws: means, and differences from one setting on the same draws", () => {
  const run = (draw: number, setting: string, score: number) =>
    `bundled,rte,8,${draw},${setting},accuracy,0.5,${score},9,9`;
  const csv = [
    "encoder,task,rows,draw,setting,metric,heldOut,score,trainable,seconds",
    ...[run(1, "aflora", 0.5), run(1, "lora", 0.6), run(2, "aflora", 0.52), run(2, "lora", 0.64), run(3, "lora", 0.65)],
    ...[run(1, "psoft", 0.7)],
    run(1, "lora", 0.5).replace("rte", "cola"),
    run(1, "lora", 0.5).replace("bundled,rte", "large,sst2"),
  ].join("\n");
  // AFLoRA's differences on the two draws that both have are -0.1 and -0.12.
  expect(drawTable(csv, "lora").split("\n")).toEqual([
    "| encoder | data | rows per class | draws | lora | aflora | psoft |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    "| bundled | rte (accuracy) | 8 | 3 | 0.630 | 0.510 (-0.110 ± 0.010) | 0.700 (+0.100) |",
    "| bundled | cola (accuracy) | 8 | 1 | 0.500 |  |  |",
    "| large | sst2 (accuracy) | 8 | 1 | 0.500 |  |  |",
  ]);
});

test("a table of draws has a line for each setting if there are more settings than tasks, and does not name its only encoder", () => {
  const csv = [
    "encoder,task,rows,draw,setting,metric,heldOut,score,trainable,seconds",
    "bundled,rte,8,1,lora,accuracy,0.5,0.6,9,9",
    "bundled,rte,8,1,psoft,accuracy,0.5,0.7,9,9",
  ].join("\n");
  expect(drawTable(csv, "lora").split("\n")).toEqual([
    "| setting | rte (accuracy), 8 per class |",
    "| --- | --- |",
    "| lora | 0.600 |",
    "| psoft | 0.700 (+0.100) |",
  ]);
});
