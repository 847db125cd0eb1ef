import type { BuiltInTaskOptions } from "./built-in-kinds.ts";

/**
 * Options of kinds of task (docs/tasks.md). Each belongs to the kinds that have it. A program that registers a kind declares the
 * kind's options here, so that TypeScript checks them: `declare module "aflora/extend" { interface TaskOptions { … } }`.
 */
export interface TaskOptions extends BuiltInTaskOptions {}
