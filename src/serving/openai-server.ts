import { randomUUID } from "node:crypto";
import { createAdaptorServer } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { streamSSE } from "hono/streaming";
import { didYouMean, UserError } from "../errors.ts";
import type { FineTunedModel } from "../inference/fine-tuned-model.ts";
import type { AnswerEnd, AnswerOptions } from "../inference/write-answers.ts";
import type { Prompt } from "../tasks/prompt.ts";
import { checkKey, checkOrigin } from "./access.ts";
import { close, listen } from "./loopback.ts";
import {
  chatRequest,
  classifyRequest,
  completionRequest,
  embeddingsRequest,
  parseBody,
  RequestError,
  rerankRequest,
  type WritingRequest,
} from "./openai-requests.ts";
import { RequestQueue } from "./request-queue.ts";
import { embeddingsAnswer, rerankAnswer } from "./retrieval-answers.ts";
import { answerOptions, CHAT, COMPLETION, usage, type WritingForm } from "./written-answers.ts";

/** What is served, by the names that requests ask for. */
export type ServedModels = ReadonlyMap<string, FineTunedModel>;

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
}

export interface OpenAiServer {
  /** Such as `http://127.0.0.1:8080/v1`. */
  readonly url: string;
  /** Ends what is being answered, and listens no more. */
  close(): Promise<void>;
}

/**
 * Serves models on 127.0.0.1 in the shapes of OpenAI's API: `/v1/models`, `/v1/chat/completions`, `/v1/completions` and
 * `/v1/embeddings`; beside them `/v1/rerank` in Cohere's and Jina's shape and, for models that label texts, `/v1/classify` in vLLM's.
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
  const { key, maxWaiting, maxBodyBytes } = options;
  const queue = new RequestQueue(maxWaiting);
  const created = nowInSeconds();
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

  const find = (name: string): FineTunedModel => {
    const names = [...models.keys()];
    const model = models.get(name);
    if (!model) {
      const message = `there is no model "${name}"${didYouMean(name, names)} (models: ${names.join(", ")})`;
      throw new RequestError(404, message, { param: "model", code: "model_not_found" });
    }
    return model;
  };

  /** The model that a request asks for. */
  const modelOf = (name: string, path: string): FineTunedModel => {
    const model = find(name);
    const { does, paths } = SERVICES.find(({ fits }) => fits(model))!;
    if (paths.includes(path)) return model;
    const message = `model "${name}" ${does} (${model.kind.name}); ask ${paths.join(" or ")}`;
    throw new RequestError(400, message, { param: "model" });
  };

  /** What a request asks for; whoever goes away is answered no more. */
  const optionsFor = (context: Context, request: WritingRequest): AnswerOptions => ({
    ...answerOptions(request, options.maxNewTokens),
    signal: AbortSignal.any([closing, context.req.raw.signal]),
  });

  /** Answers some prompts, whole. */
  const write = async (context: Context, request: WritingRequest, prompts: readonly Prompt[], form: WritingForm) => {
    const model = modelOf(request.model, context.req.path);
    const end = await queue.turn();
    try {
      const answers = await model.answers(prompts, optionsFor(context, request));
      const choices = answers.map(({ text, reason }, index) => ({ index, ...form.choice(text, reason) }));
      return context.json({
        ...headOf(form.idPrefix, request.model),
        object: form.object,
        choices,
        usage: usage(answers),
      });
    } finally {
      end();
    }
  };

  /** Answers one prompt as it comes. */
  const stream = async (context: Context, request: WritingRequest, prompt: Prompt, form: WritingForm) => {
    const answer = modelOf(request.model, context.req.path).answer(prompt, optionsFor(context, request));
    const end = await queue.turn();
    let next: IteratorResult<string, AnswerEnd>;
    try {
      // What is wrong with a prompt shows here, while the answer can still be an error.
      next = await answer.next();
    } catch (error) {
      end();
      throw error;
    }
    const head = { ...headOf(form.idPrefix, request.model), object: form.chunkObject };
    return streamSSE(
      context,
      async (events) => {
        const send = (fields: object) => events.writeSSE({ data: JSON.stringify({ ...head, ...fields }) });
        const piece = (fields: object) => send({ choices: [{ index: 0, ...fields }] });
        try {
          if (form.opening) await piece(form.opening);
          for (; !next.done; next = await answer.next()) await piece(form.piece(next.value, null));
          await piece(form.piece(undefined, next.value.reason));
          if (request.stream_options?.include_usage) await send({ choices: [], usage: usage([next.value]) });
          await events.writeSSE({ data: "[DONE]" });
        } finally {
          end();
        }
      },
      async (error, events) => {
        process.stderr.write(`${error.stack}\n`);
        await events.writeSSE({ data: JSON.stringify(DEFECT) });
      },
    );
  };

  /** Computes what is no writing, in its turn, unless whoever asked goes away. */
  const compute = async <Found>(
    context: Context,
    name: string,
    found: (model: FineTunedModel, signal: AbortSignal) => Promise<Found>,
  ): Promise<Found> => {
    const model = modelOf(name, context.req.path);
    const signal = AbortSignal.any([closing, context.req.raw.signal]);
    const end = await queue.turn();
    try {
      return await found(model, signal);
    } catch (error) {
      throw signal.aborted ? new RequestError(503, "the server is closing") : error;
    } finally {
      end();
    }
  };

  const shown = (id: string) => ({ id, object: "model", created, owned_by: "aflora" });

  app.get("/v1/models", (context) => context.json({ object: "list", data: [...models.keys()].map(shown) }));

  app.get("/v1/models/:name", (context) => {
    const name = context.req.param("name");
    find(name);
    return context.json(shown(name));
  });

  app.post("/v1/chat/completions", async (context) => {
    const request = parseBody(chatRequest, await jsonBody(context));
    const { messages, tools, tool_choice } = request;
    const prompt = { messages, tools: tool_choice === "none" || !tools?.length ? undefined : tools };
    if (prompt.tools && !modelOf(request.model, context.req.path).base.tokenizer.chatTemplate?.takesTools) {
      throw new RequestError(400, `the chat template of model "${request.model}" takes no tools`, { param: "tools" });
    }
    return request.stream ? stream(context, request, prompt, CHAT) : write(context, request, [prompt], CHAT);
  });

  app.post("/v1/completions", async (context) => {
    const request = parseBody(completionRequest, await jsonBody(context));
    const texts = typeof request.prompt === "string" ? [request.prompt] : request.prompt;
    const prompts = texts.map((verbatim) => ({ verbatim }));
    if (!request.stream) return write(context, request, prompts, COMPLETION);
    if (prompts.length === 1) return stream(context, request, prompts[0]!, COMPLETION);
    throw new RequestError(400, "several prompts cannot be streamed; ask for one at a time", { param: "prompt" });
  });

  app.post("/v1/classify", async (context) => {
    const request = parseBody(classifyRequest, await jsonBody(context));
    const inputs = typeof request.input === "string" ? [request.input] : request.input;
    const predictions = await compute(context, request.model, (model, signal) => model.predict(inputs, { signal }));
    const data = predictions.map((prediction, index) => ({ index, ...prediction }));
    return context.json({ ...headOf("classify", request.model), object: "list", data });
  });

  app.post("/v1/embeddings", async (context) => {
    const request = parseBody(embeddingsRequest, await jsonBody(context));
    return context.json(
      await compute(context, request.model, (model, signal) => embeddingsAnswer(model, request, signal)),
    );
  });

  app.post("/v1/rerank", async (context) => {
    const request = parseBody(rerankRequest, await jsonBody(context));
    const answer = await compute(context, request.model, (model, signal) => rerankAnswer(model, request, signal));
    return context.json({ id: `rerank-${randomUUID()}`, ...answer });
  });

  return app;
}

/** What models do, and where they are asked for it: the first that fits a model. */
const SERVICES: readonly { does: string; paths: readonly string[]; fits(model: FineTunedModel): boolean }[] = [
  { does: "writes texts", paths: ["/v1/chat/completions", "/v1/completions"], fits: ({ writes }) => writes },
  { does: "embeds texts", paths: ["/v1/embeddings"], fits: ({ embeds }) => embeds },
  { does: "ranks passages", paths: ["/v1/rerank"], fits: ({ reranks }) => reranks },
  { does: "labels texts", paths: ["/v1/classify"], fits: () => true },
];

/** What a client is told of an error that is ours. */
const DEFECT = { error: { message: "this is a defect of aflora", type: "server_error", param: null, code: null } };

const headOf = (idPrefix: string, model: string) => ({
  id: `${idPrefix}-${randomUUID()}`,
  created: nowInSeconds(),
  model,
});

async function jsonBody(context: Context): Promise<unknown> {
  try {
    return await context.req.json();
  } catch (error) {
    if (error instanceof RequestError) throw error;
    throw new RequestError(400, "the body is no JSON");
  }
}

function refuse(context: Context, { status, message, param, code }: RequestError): Response {
  if (status === 503) context.header("Retry-After", "1");
  // What was not read of a body would stand before the next request.
  if (status === 413) context.header("Connection", "close");
  return context.json({ error: { message, type: "invalid_request_error", param, code } }, status);
}

const nowInSeconds = (): number => Math.floor(Date.now() / 1000);
