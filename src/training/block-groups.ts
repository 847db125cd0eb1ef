import type { LinearModule } from "../architectures/model-parts.ts";

/** Limit on the elements that a group's matrices have together: 256 MiB of float32. A larger block is a group of its own. */
const MOST_ELEMENTS = 2 ** 26;

/**
 * Groups the layers of consecutive blocks, so that one pass through the model computes a matrix for each layer of a group, and memory
 * holds only these.
 */
export function blockGroups(
  modules: readonly LinearModule[],
  elementsOf: (module: LinearModule) => number,
  most = MOST_ELEMENTS,
): LinearModule[][] {
  const groups: LinearModule[][] = [];
  let elements = Number.POSITIVE_INFINITY;
  for (const block of new Set(modules.map((module) => module.block))) {
    const own = modules.filter((module) => module.block === block);
    const size = own.reduce((sum, module) => sum + elementsOf(module), 0);
    if (elements + size > most) {
      groups.push([]);
      elements = 0;
    }
    groups.at(-1)!.push(...own);
    elements += size;
  }
  return groups;
}
