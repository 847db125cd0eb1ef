import { createAdaptorServer } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { UserError } from "../errors.ts";
import { checkKey, checkOrigin } from "./access.ts";
import { close, listen } from "./loopback.ts";
import { DEFECT, ModelService, type ServedModels } from "./model-service.ts";
import { RequestError } from "./openai-requests.ts";
import { addComputingRoutes, addModelRoutes, addWritingRoutes } from "./openai-routes.ts";

export interface ServeOptions {
  /** Where to listen, on 127.0.0.1 alone; 0: any free port. */
  port: number;
  /** What requests must bring as `Authorization: Bearer …`; none where absent. */
  key?: string | undefined;
  /** Most tokens of an answer, and what is given where a request names no number. */
  maxNewTokens: number;
  /** Requests that wait or are answered, at the most. */
  maxWaiting: number;
  /** Bytes of a request's body, at the most. */
  maxBodyBytes: number;
  /** Told of each answer how long it took. */
  log?: (line: string) => void;
}

export interface OpenAiServer {
  /** Such as `http://127.0.0.1:8080/v1`. */
  readonly url: string;
  /** Ends what is being answered, and listens no more. */
  close(): Promise<void>;
}

/**
 * Serves models on 127.0.0.1 in the shapes of OpenAI's API: `/v1/models`, `/v1/chat/completions`, `/v1/completions`,
 * `/v1/responses` and `/v1/embeddings`; beside them `/v1/rerank` in Cohere's and Jina's shape and, for models that label texts, `/v1/classify` in vLLM's.
 * @see https://platform.openai.com/docs/api-reference
 * @throws UserError where the port cannot be had.
 */
export async function serveModels(models: ServedModels, options: ServeOptions): Promise<OpenAiServer> {
  const closing = new AbortController();
  const app = createApp(models, options, closing.signal);
  const server = createAdaptorServer({
    fetch: app.fetch,
    // Whoever sends slowly or nothing is not waited for.
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
    // What a model cannot take is the request's fault.
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

function refuse(context: Context, { status, message, param, code }: RequestError): Response {
  if (status === 503) context.header("Retry-After", "1");
  // What was not read of a body would stand before the next request.
  if (status === 413) context.header("Connection", "close");
  return context.json({ error: { message, type: "invalid_request_error", param, code } }, status);
}
