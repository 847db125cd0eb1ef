import { createAdaptorServer } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { opt, UserError } from "../errors.ts";
import { checkKey, checkOrigin } from "./access.ts";
import { close, isLoopback, listen, urlAt } from "./loopback.ts";
import { DEFECT, ModelService, type ServedModels } from "./model-service.ts";
import { RequestError, refusalBody } from "./openai-requests.ts";
import { addComputingRoutes, addModelRoutes, addWritingRoutes } from "./openai-routes.ts";
import { PROMETHEUS_TYPE, PrometheusMetrics } from "./prometheus.ts";

export interface ServeOptions {
  /** Port; 0 for any free one. */
  port: number;
  /** Address to listen at. Any other than this machine's own needs a `key` (default: 127.0.0.1). */
  host?: string | undefined;
  /** Key that requests must send as `Authorization: Bearer …` (default: none). */
  key?: string | undefined;
  /** Maximum number of tokens of an answer, which is also the default. */
  maxNewTokens: number;
  /** Maximum number of concurrent and waiting requests. */
  maxWaiting: number;
  /** Maximum size of a request's body in bytes. */
  maxBodyBytes: number;
  /** Receives the time of each answer. */
  log?: (line: string) => void;
}

export interface OpenAiServer {
  /** Such as `http://127.0.0.1:8080/v1`. */
  readonly url: string;
  /** Ends running requests, and stops listening. */
  close(): Promise<void>;
}

/**
 * Serves models, on 127.0.0.1 unless `host` is given, with OpenAI's API: `/v1/models`, `/v1/chat/completions`, `/v1/completions`, `/v1/responses` and
 * `/v1/embeddings`. In addition, `/v1/rerank` as for Cohere and Jina, and `/v1/classify` as for vLLM for models that label texts.
 * `/health`, `/ready` and `/metrics` (Prometheus) tell an orchestrator about the process; the first two need no key.
 * @see https://platform.openai.com/docs/api-reference
 * @throws UserError if the port cannot be used, or if other machines could reach the server without a key
 */
export async function serveModels(models: ServedModels, options: ServeOptions): Promise<OpenAiServer> {
  const { host = "127.0.0.1", key } = options;
  if (!isLoopback(host) && key === undefined) {
    throw new UserError(
      `other machines can reach a server at ${host}; give a key with ${opt("keyFile")} or AFLORA_KEY`,
    );
  }
  const closing = new AbortController();
  const app = createApp(models, options, closing.signal);
  const server = createAdaptorServer({
    fetch: app.fetch,
    // Slow or idle clients are disconnected.
    serverOptions: { headersTimeout: 5_000, requestTimeout: 30_000, keepAliveTimeout: 5_000 },
  });
  const port = await listen(server, options.port, { host });
  return {
    url: `${urlAt(host, port)}/v1`,
    async close() {
      closing.abort();
      await close(server);
    },
  };
}

function createApp(models: ServedModels, options: ServeOptions, closing: AbortSignal): Hono {
  const { key, maxBodyBytes, host = "127.0.0.1" } = options;
  const app = new Hono();
  const metrics = new PrometheusMetrics();
  const service = new ModelService(models, options, closing, metrics);

  app.onError((error, context) => {
    if (error instanceof RequestError) return refuse(context, error);
    // Inputs that a model cannot take are an error of the request.
    if (error instanceof UserError) return refuse(context, new RequestError(400, error.message));
    process.stderr.write(`${error.stack}\n`);
    return context.json(DEFECT, 500);
  });
  app.notFound((context) =>
    refuse(context, new RequestError(404, `there is no ${context.req.method} ${context.req.path} here`)),
  );
  addProbes(app, service, closing);
  const countRequest = metrics.counter("aflora_requests_total", "Requests by path and HTTP status.");
  app.use(async (context, next) => {
    await next();
    // Paths that do not exist would make a series each.
    const path = context.res.status === 404 ? "other" : context.req.routePath;
    countRequest({ path, status: String(context.res.status) });
  });
  app.use(async (context, next) => {
    if (isLoopback(host)) checkOrigin(context);
    if (key !== undefined) checkKey(context, key);
    await next();
  });
  app.use(
    bodyLimit({
      maxSize: maxBodyBytes,
      onError: () => {
        throw new RequestError(413, `a request's body has at most ${maxBodyBytes} bytes`);
      },
    }),
  );

  app.get("/metrics", async (context) => context.body(await metrics.text(), 200, { "content-type": PROMETHEUS_TYPE }));
  for (const addRoutes of [addModelRoutes, addWritingRoutes, addComputingRoutes]) addRoutes(app, service);
  return app;
}

/** Adds `/health`, which answers while the process lives, and `/ready`, which refuses if another request would be refused. */
function addProbes(app: Hono, service: ModelService, closing: AbortSignal): void {
  app.get("/health", (context) => context.text("ok\n"));
  app.get("/ready", (context) => {
    if (closing.aborted) return context.text("the server is closing\n", 503);
    return service.isFull ? context.text("too many requests wait\n", 503) : context.text("ok\n");
  });
}

function refuse(context: Context, error: RequestError): Response {
  const { status } = error;
  if (status === 503) context.header("Retry-After", "1");
  // The unread rest of the body would precede the next request.
  if (status === 413) context.header("Connection", "close");
  return context.json(refusalBody(error), status);
}
