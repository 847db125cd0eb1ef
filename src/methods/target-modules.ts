import { UserError } from "../errors.ts";
import type { LinearSite } from "../models/model-parts.ts";

/**
 * The linear layers that `patterns` name: a module's whole name, its end (`query`, `output.dense`) or a pattern in
 * which `*` stands for any text. No patterns: every layer.
 * @throws UserError where a pattern matches nothing, with the names that exist.
 */
export function selectSites(
  sites: readonly LinearSite[],
  patterns: readonly string[] | undefined,
): readonly LinearSite[] {
  if (!patterns) return sites;
  const selected = new Set<LinearSite>();
  for (const pattern of patterns) {
    const expression = new RegExp(`(^|\\.)${pattern.split("*").map(escapeExpression).join(".*")}$`);
    const matches = sites.filter(({ name }) => expression.test(name));
    if (matches.length === 0) {
      const first = sites.filter(({ block }) => block === 0).map(({ name }) => name);
      throw new UserError(`targetModules: "${pattern}" matches no layer; block 0 has ${first.join(", ")}`);
    }
    for (const site of matches) selected.add(site);
  }
  return sites.filter((site) => selected.has(site));
}

function escapeExpression(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
