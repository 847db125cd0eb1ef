import { cutsByteProducts } from "../../src/runtime/byte-products.ts";
import { runtime } from "./runtime.ts";

/** Whether this processor cuts off large sums of products of bytes (x86 without VNNI): int8 is not exact there, and a run says so. */
export const cutsBytes = await cutsByteProducts(runtime);

/** Why a test that takes exact products of bytes is skipped. */
export const CUTS_BYTES = "this processor has no VNNI and cuts off large sums of byte products";
