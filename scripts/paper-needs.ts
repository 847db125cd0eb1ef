import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { studyOf } from "../src/cli/commands/study.ts";
import { bytes, duration, integer } from "../src/cli/terminal/format.ts";
import { markdownTable } from "../src/reports/markdown-table.ts";
import { estimateFromConfig } from "../src/studies/config-estimate.ts";

/** Where a page has the table of what studies need. Its first two columns are written by hand: what it repeats, and the command. */
const PLACE = /(<!-- needs of studies -->\n)([\s\S]*?)(\n<!-- end of needs -->)/;

/** A page with its table of what studies need computed again, as `aflora study FILE --estimate` computes it. */
export async function withNeeds(page: string): Promise<string> {
  const [, , body] = PLACE.exec(page) ?? [];
  if (body === undefined) return page;
  const given = [...body.matchAll(/^\| ([^|]+) \| `aflora study (\S+)((?: --vary \S+)*)` \|/gm)];
  const rows: string[][] = [];
  for (const [, repeats, file, flags] of given) {
    rows.push([repeats!, `\`aflora study ${file}${flags}\``, ...(await needsOf(file!, flags!))]);
  }
  const heading = ["in the paper", "command", "model", "trials", "laptop", "GPU", "memory"];
  return page.replace(
    PLACE,
    (_, start: string, __, end: string) => `${start}\n${markdownTable([heading, ...rows])}\n${end}`,
  );
}

/** The model, the number of trials, hours on a laptop and a GPU, and memory. */
async function needsOf(file: string, flags: string): Promise<string[]> {
  const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
  const vary = [...flags.matchAll(/--vary (\w+)=(\S+)/g)].map(([, name, values]): [string, unknown[]] => [
    name!,
    values!.split(",").map((value): unknown => parse(value)),
  ]);
  const study = await studyOf(path, { vary });
  const costs = await estimateFromConfig(study, dirname(path));
  const flops = study.seeds.length * costs.reduce((sum, cost) => sum + cost.flops, 0);
  const times = Object.values(study.estimate!.speeds).map((speed) => flops / (1e9 * speed));
  return [
    String(study.options.model),
    integer(costs.length * study.seeds.length),
    ...times.map((seconds) => (seconds < 36_000 ? duration(seconds) : `${integer(seconds / 3600)} h`)),
    bytes(Math.max(...costs.map(({ memory }) => memory))),
  ];
}
