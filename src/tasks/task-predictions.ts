import type { BuiltInPredictions } from "./built-in-kinds.ts";

/**
 * A model's prediction for one text, by the name of its kind of task (docs/tasks.md). A program that registers a kind declares
 * the kind's predictions here: `declare module "aflora/extend" { interface TaskPredictions { … } }`.
 */
export interface TaskPredictions extends BuiltInPredictions {}
