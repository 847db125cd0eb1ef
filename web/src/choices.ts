import type { MethodDefinition } from "../../src/methods/method.ts";
import { METHODS } from "../../src/methods/methods.ts";
import type { TaskKind } from "../../src/tasks/task-kind.ts";
import { TASK_KINDS } from "../../src/tasks/task-kinds.ts";

/** A method as the page offers it. */
export interface MethodChoice {
  name: string;
  summary: string;
  recipe: MethodDefinition["recipe"];
  /** Absent where it has none. */
  rank?: number;
  /** Whether nothing trains but the head, which is fitted without epochs. */
  headOnly?: true;
}

/** What a person may choose from. */
export interface Choices {
  methods: MethodChoice[];
  kinds: Pick<TaskKind, "name" | "summary" | "reads">[];
}

/** The methods, each with what its recipe and its options begin with, and the kinds of task. */
export function choices(): Choices {
  return {
    methods: METHODS.all.map(({ name, summary, recipe, headOnly, options }) => {
      const { rank } = options.parse({}) as { rank?: unknown };
      return { name, summary, recipe, ...(headOnly && { headOnly }), ...(typeof rank === "number" && { rank }) };
    }),
    kinds: TASK_KINDS.all.map(({ name, summary, reads }) => ({ name, summary, ...(reads && { reads }) })),
  };
}
