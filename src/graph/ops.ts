/** Operations on values: one file per family in ops/, one entry there per op. */

export * from "./ops/cached-attention.ts";
export * from "./ops/convolution.ts";
export { ops } from "./ops/define.ts";
export * from "./ops/distances.ts";
export * from "./ops/elementwise.ts";
export * from "./ops/likelihood.ts";
export * from "./ops/linear.ts";
export * from "./ops/logic.ts";
export * from "./ops/lookup.ts";
export * from "./ops/normalisation.ts";
export * from "./ops/pooling.ts";
export * from "./ops/products.ts";
export * from "./ops/recurrence.ts";
export * from "./ops/reductions.ts";
export * from "./ops/rotary.ts";
export * from "./ops/rows.ts";
export * from "./ops/shape.ts";
export * from "./ops/sizes.ts";
export * from "./ops/slices.ts";
