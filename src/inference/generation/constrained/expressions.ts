import type { Words } from "./words.ts";

/** Bytes from one to another, both included. */
export type ByteRange = readonly [from: number, to: number];

type Shape =
  | { readonly kind: "byte"; readonly ranges: readonly ByteRange[] }
  | { readonly kind: "words"; readonly words: Words }
  | { readonly kind: "sequence"; readonly parts: readonly Expression[] }
  | { readonly kind: "choice"; readonly parts: readonly Expression[] }
  | { readonly kind: "repeat"; readonly part: Expression; readonly min: number; readonly max: number }
  | { readonly kind: "reference"; target: Expression | undefined };

export type Expression = Shape & { readonly id: number };

export type Reference = Expression & { readonly kind: "reference" };
