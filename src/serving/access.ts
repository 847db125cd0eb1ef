import { timingSafeEqual } from "node:crypto";
import type { Context } from "hono";
import { LOOPBACK } from "./loopback.ts";
import { RequestError } from "./openai-requests.ts";

/** Refuses requests from pages of other sites, and to names that resolve to 127.0.0.1: they must not reach models through a browser. */
export function checkOrigin(context: Context): void {
  const origin = context.req.header("origin");
  const from = origin === undefined ? undefined : URL.canParse(origin) ? new URL(origin).host : "";
  if (!LOOPBACK.test(context.req.header("host") ?? "") || (from !== undefined && !LOOPBACK.test(from))) {
    throw new RequestError(403, "only 127.0.0.1 and localhost are served");
  }
}

/** @throws RequestError if a request does not have the key */
export function checkKey(context: Context, key: string): void {
  const [given, wanted] = [Buffer.from(context.req.header("authorization") ?? ""), Buffer.from(`Bearer ${key}`)];
  if (given.length === wanted.length && timingSafeEqual(given, wanted)) return;
  throw new RequestError(401, "the key is missing or wrong; give it as Authorization: Bearer KEY", {
    code: "invalid_api_key",
  });
}
