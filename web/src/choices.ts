import type { MethodDefinition } from "../../src/methods/method.ts";
import { METHODS } from "../../src/methods/methods.ts";
import type { TaskKind } from "../../src/tasks/task-kind.ts";
import { TASK_KINDS } from "../../src/tasks/task-kinds.ts";

export interface MethodChoice {
  name: string;
  summary: string;
  recipe: MethodDefinition["recipe"];
  rank?: number;
  /** Whether only the head trains, which is fitted without epochs. */
  headOnly?: true;
}

export interface Choices {
  methods: MethodChoice[];
  kinds: Pick<TaskKind, "name" | "summary" | "reads">[];
}

export function choices(): Choices {
  return {
    methods: METHODS.all.map(({ name, summary, recipe, headOnly, options }) => {
      const { rank } = options.parse({}) as { rank?: unknown };
      return { name, summary, recipe, ...(headOnly && { headOnly }), ...(typeof rank === "number" && { rank }) };
    }),
    kinds: TASK_KINDS.all.map(({ name, summary, reads }) => ({ name, summary, ...(reads && { reads }) })),
  };
}
