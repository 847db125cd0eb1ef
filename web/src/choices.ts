import { METHODS } from "../../src/methods/methods.ts";
import { TASK_KINDS } from "../../src/tasks/task-kinds.ts";

/** A method as the page offers it. */
export interface MethodChoice {
  name: string;
  summary: string;
  learningRate: number;
  headLearningRate: number;
  /** Absent where it has none. */
  rank?: number;
}

/** What a person may choose from. */
export interface Choices {
  methods: MethodChoice[];
  kinds: { name: string; summary: string }[];
}

/** The methods, each with what its recipe and its options begin with, and the kinds of task. */
export function choices(): Choices {
  return {
    methods: METHODS.all.map(({ name, summary, recipe, options }) => {
      const { rank } = options.parse({}) as { rank?: unknown };
      return { name, summary, ...recipe, ...(typeof rank === "number" && { rank }) };
    }),
    // A page reads tables of texts.
    kinds: TASK_KINDS.all.filter(({ reads }) => !reads).map(({ name, summary }) => ({ name, summary })),
  };
}
