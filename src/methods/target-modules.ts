import type { LinearModule } from "../architectures/model-parts.ts";
import { opt, UserError } from "../errors.ts";

/**
 * Selects the linear layers that match `patterns`: a module's full name, its end (`query`, `output.dense`) or a pattern in
 * which `*` matches any text. Without patterns, all layers.
 * @throws UserError if there are no layers, or a pattern matches none, with the names of existing layers.
 */
export function selectModules(
  modules: readonly LinearModule[],
  patterns: readonly string[] | undefined,
): readonly LinearModule[] {
  if (modules.length === 0) {
    throw new UserError(
      `the model has no linear layers that could be adapted, as in convolutional networks; use ${opt("method")} head or ${opt("method")} full`,
    );
  }
  if (!patterns) return modules;
  const selected = new Set<LinearModule>();
  for (const pattern of patterns) {
    const expression = new RegExp(`(^|\\.)${pattern.split("*").map(escapeExpression).join(".*")}$`);
    const matches = modules.filter(({ name }) => expression.test(name));
    if (matches.length === 0) {
      const first = modules.filter(({ block }) => block === 0).map(({ name }) => name);
      throw new UserError(`targetModules: "${pattern}" matches no layer; block 0 has ${first.join(", ")}`);
    }
    for (const module of matches) selected.add(module);
  }
  return modules.filter((module) => selected.has(module));
}

function escapeExpression(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
