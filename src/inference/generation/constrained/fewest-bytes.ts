import type { Sliced } from "../../../runtime/slices.ts";
import type { Expression } from "./expressions.ts";

const AT_ONCE = 1000;

/**
 * Computes the fewest bytes of each expression of a grammar, by id; infinite if it never ends. Expressions are finished in the order of
 * their values, so each is computed once, however they refer to each other (Knuth, A generalization of Dijkstra's algorithm,
 * Information Processing Letters 6, 1977).
 */
export function* fewestBytesOf(all: readonly Expression[]): Sliced<Float64Array> {
  const fewest = new Float64Array(all.length).fill(Number.POSITIVE_INFINITY);
  const users = usersOf(all);
  yield;
  const open = Int32Array.from(all, (expression) => (expression.kind === "sequence" ? expression.parts.length : 0));
  const sums = new Float64Array(all.length);
  const next = new Candidates();
  for (const expression of all) {
    if (expression.kind === "byte") next.add(expression.id, 1);
    else if (expression.kind === "words")
      next.add(expression.id, expression.words.shortest(0, expression.words.texts.length));
    else if (expression.kind === "repeat" && expression.min === 0) next.add(expression.id, 0);
    else if (expression.kind === "sequence" && expression.parts.length === 0) next.add(expression.id, 0);
  }
  let settled = 0;
  for (let found = next.take(); found; found = next.take()) {
    const { id, value } = found;
    if (value >= fewest[id]!) continue;
    fewest[id] = value;
    settled++;
    if (settled % AT_ONCE === 0) yield;
    for (let i = users.starts[id]!; i < users.starts[id + 1]!; i++) {
      const user = all[users.ids[i]!]!;
      if (user.kind === "choice" || user.kind === "reference") next.add(user.id, value);
      else if (user.kind === "repeat") next.add(user.id, user.min * value);
      else {
        sums[user.id]! += value;
        open[user.id]!--;
        if (open[user.id] === 0) next.add(user.id, sums[user.id]!);
      }
    }
  }
  return fewest;
}

function partsOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case "sequence":
    case "choice":
      return expression.parts;
    case "repeat":
      return [expression.part];
    case "reference":
      return [expression.target!];
    default:
      return [];
  }
}

/** The expressions that contain an expression, once per occurrence: those from `starts[id]` up to `starts[id + 1]`. */
function usersOf(all: readonly Expression[]): { starts: Uint32Array; ids: Uint32Array } {
  const starts = new Uint32Array(all.length + 2);
  for (const expression of all) for (const { id } of partsOf(expression)) starts[id + 2]!++;
  for (let id = 2; id < starts.length; id++) starts[id]! += starts[id - 1]!;
  const ids = new Uint32Array(starts.at(-1)!);
  for (const expression of all) {
    for (const { id } of partsOf(expression)) {
      ids[starts[id + 1]!] = expression.id;
      starts[id + 1]!++;
    }
  }
  return { starts, ids };
}

interface Candidate {
  readonly id: number;
  readonly value: number;
}

class Candidates {
  readonly #heap: Candidate[] = [];

  add(id: number, value: number): void {
    const heap = this.#heap;
    let at = heap.length;
    for (let above = (at - 1) >> 1; at > 0 && heap[above]!.value > value; above = (at - 1) >> 1) {
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = { id, value };
  }

  take(): Candidate | undefined {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (heap.length === 0 || !last) return first;
    let at = 0;
    for (let below = 1; below < heap.length; below = 2 * at + 1) {
      if (below + 1 < heap.length && heap[below + 1]!.value < heap[below]!.value) below++;
      if (heap[below]!.value >= last.value) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = last;
    return first;
  }
}
