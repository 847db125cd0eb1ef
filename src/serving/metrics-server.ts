import { createAdaptorServer } from "@hono/node-server";
import { Hono } from "hono";
import { opt, UserError } from "../errors.ts";
import { close, listen, urlAt } from "./loopback.ts";
import { PROMETHEUS_TYPE, type PrometheusMetrics } from "./prometheus.ts";

/** Address to listen at. */
export interface ListenAddress {
  host: string;
  port: number;
}

/**
 * Reads `9464` (on 127.0.0.1) or `0.0.0.0:9464`.
 * @throws UserError if the text is neither
 */
export function parseListenAddress(text: string): ListenAddress {
  const [, host = "127.0.0.1", port] = /^(?:(.+):)?(\d{1,5})$/.exec(text) ?? [];
  if (port !== undefined && Number(port) <= 65_535) return { host, port: Number(port) };
  throw new UserError(`"${text}" is not a port or host:port; write 9464, or 0.0.0.0:9464 to answer other machines`);
}

/**
 * Serves `/health` and `/metrics` of a process that has no other server.
 * @returns its address, and a function that stops it
 * @throws UserError if the port cannot be used
 */
export async function serveMetrics(
  metrics: PrometheusMetrics,
  { host, port }: ListenAddress,
): Promise<{ url: string; close(): Promise<void> }> {
  const app = new Hono();
  app.get("/health", (context) => context.text("ok\n"));
  app.get("/metrics", async (context) => context.body(await metrics.text(), 200, { "content-type": PROMETHEUS_TYPE }));
  const server = createAdaptorServer({
    fetch: app.fetch,
    serverOptions: { headersTimeout: 5_000, requestTimeout: 10_000, keepAliveTimeout: 5_000 },
  });
  const bound = await listen(server, port, { host, remedy: `give another ${opt("metrics")} address` });
  return { url: urlAt(host, bound), close: () => close(server) };
}
