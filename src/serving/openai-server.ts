import { createAdaptorServer } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { UserError } from "../errors.ts";
import { checkKey, checkOrigin } from "./access.ts";
import { close, listen } from "./loopback.ts";
import { DEFECT, ModelService, type ServedModels } from "./model-service.ts";
import { RequestError, refusalBody } from "./openai-requests.ts";
import { addComputingRoutes, addModelRoutes, addWritingRoutes } from "./openai-routes.ts";

export interface ServeOptions {
  /** Port on 127.0.0.1; 0 for any free one. */
  port: number;
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
 * Serves models on 127.0.0.1 with OpenAI's API: `/v1/models`, `/v1/chat/completions`, `/v1/completions`, `/v1/responses` and
 * `/v1/embeddings`. In addition, `/v1/rerank` as for Cohere and Jina, and `/v1/classify` as for vLLM for models that label texts.
 * @see https://platform.openai.com/docs/api-reference
 * @throws UserError if the port cannot be used
 */
export async function serveModels(models: ServedModels, options: ServeOptions): Promise<OpenAiServer> {
  const closing = new AbortController();
  const app = createApp(models, options, closing.signal);
  const server = createAdaptorServer({
    fetch: app.fetch,
    // Slow or idle clients are disconnected.
    serverOptions: { headersTimeout: 5_000, requestTimeout: 30_000, keepAliveTimeout: 5_000 },
  });
  const port = await listen(server, options.port);
  return {
    url: `http://127.0.0.1:${port}/v1`,
    async close() {
      closing.abort();
      await close(server);
    },
  };
}

function createApp(models: ServedModels, options: ServeOptions, closing: AbortSignal): Hono {
  const { key, maxBodyBytes } = options;
  const app = new Hono();

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
  app.use(async (context, next) => {
    checkOrigin(context);
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

  const service = new ModelService(models, options, closing);
  for (const addRoutes of [addModelRoutes, addWritingRoutes, addComputingRoutes]) addRoutes(app, service);
  return app;
}

function refuse(context: Context, error: RequestError): Response {
  const { status } = error;
  if (status === 503) context.header("Retry-After", "1");
  // The unread rest of the body would precede the next request.
  if (status === 413) context.header("Connection", "close");
  return context.json(refusalBody(error), status);
}
