import { randomUUID } from "node:crypto";
import type { Context, Hono } from "hono";
import { isDeep, MAX_DEPTH } from "../files/json.ts";
import { CHAT, COMPLETION, choices, nowInSeconds } from "./choice-forms.ts";
import { CALLS, schemaOfForcedCall } from "./forced-calls.ts";
import type { ModelService } from "./model-service.ts";
import {
  type ChatRequest,
  chatRequest,
  classifyRequest,
  completionRequest,
  embeddingsRequest,
  parseBody,
  RequestError,
  rerankRequest,
} from "./openai-requests.ts";
import { responseForm } from "./response-form.ts";
import { chatOf, responsesRequest } from "./responses-request.ts";
import { embeddingsAnswer, rerankAnswer } from "./retrieval-answers.ts";
import type { WritingForm } from "./writing-form.ts";

/** Adds `/v1/models`. */
export function addModelRoutes(app: Hono, service: ModelService): void {
  const shown = (id: string) => ({ id, object: "model", created: service.created, owned_by: "aflora" });
  app.get("/v1/models", (context) => context.json({ object: "list", data: service.names.map(shown) }));
  app.get("/v1/models/:name", (context) => {
    const name = context.req.param("name");
    service.find(name);
    return context.json(shown(name));
  });
}

/** Adds the paths of language models. */
export function addWritingRoutes(app: Hono, service: ModelService): void {
  app.post("/v1/chat/completions", async (context) => {
    const request = parseBody(chatRequest, await jsonBody(context));
    return converse(context, service, request, (isCall) => choices(isCall ? CALLS : CHAT));
  });

  app.post("/v1/responses", async (context) => {
    const request = parseBody(responsesRequest, await jsonBody(context));
    return converse(context, service, chatOf(request), (isCall) => responseForm(request, isCall));
  });

  app.post("/v1/completions", async (context) => {
    const request = parseBody(completionRequest, await jsonBody(context));
    const texts = typeof request.prompt === "string" ? [request.prompt] : request.prompt;
    const prompts = texts.map((verbatim) => ({ verbatim }));
    if (!request.stream) return service.write(context, request, prompts, { form: choices(COMPLETION) });
    if (prompts.length === 1) return service.stream(context, request, prompts[0]!, { form: choices(COMPLETION) });
    throw new RequestError(400, "several prompts cannot be streamed; ask for one at a time", { param: "prompt" });
  });
}

/** Maximum number of characters of a text: while it becomes tokens, the server hears no other request. */
const LONGEST_TEXT = 200_000;

/** Answers a conversation. @param formOf form of the answer, which is a function call if the request forces one */
function converse(
  context: Context,
  service: ModelService,
  request: ChatRequest,
  formOf: (isCall: boolean) => WritingForm,
): Promise<Response> {
  const { messages, tools, tool_choice } = request;
  checkLength(messages.reduce((sum, { content }) => sum + (content?.length ?? 0), 0));
  const prompt = { messages, tools: tool_choice === "none" || !tools?.length ? undefined : tools };
  if (prompt.tools && !service.modelOf(request.model, context).base.tokenizer.chatTemplate?.takesTools) {
    throw new RequestError(400, `the chat template of model "${request.model}" does not support tools`, {
      param: "tools",
    });
  }
  const jsonSchema = schemaOfForcedCall(request);
  const asked = { form: formOf(jsonSchema !== undefined), jsonSchema };
  return request.stream
    ? service.stream(context, request, prompt, asked)
    : service.write(context, request, [prompt], asked);
}

/** Adds the paths of models that classify, embed or rerank. */
export function addComputingRoutes(app: Hono, service: ModelService): void {
  app.post("/v1/classify", async (context) => {
    const { model: name, input } = parseBody(classifyRequest, await jsonBody(context));
    const inputs = typeof input === "string" ? [input] : input;
    const predictions = await service.compute(context, name, (model, signal) => model.predict(inputs, { signal }));
    const data = predictions.map((prediction, index) => ({ index, ...prediction }));
    return context.json({ id: `classify-${randomUUID()}`, created: nowInSeconds(), model: name, object: "list", data });
  });

  app.post("/v1/embeddings", async (context) => {
    const request = parseBody(embeddingsRequest, await jsonBody(context));
    const embed = service.compute(context, request.model, (model, signal) => embeddingsAnswer(model, request, signal));
    return context.json(await embed);
  });

  app.post("/v1/rerank", async (context) => {
    const request = parseBody(rerankRequest, await jsonBody(context));
    const rank = service.compute(context, request.model, (model, signal) => rerankAnswer(model, request, signal));
    return context.json({ id: `rerank-${randomUUID()}`, ...(await rank) });
  });
}

async function jsonBody(context: Context): Promise<unknown> {
  let body: unknown;
  try {
    body = await context.req.json();
  } catch (error) {
    if (error instanceof RequestError) throw error;
    throw new RequestError(400, "the body is not JSON");
  }
  if (isDeep(body)) throw new RequestError(400, `the body has values nested more than ${MAX_DEPTH} deep`);
  checkLength(longestText(body));
  return body;
}

function checkLength(characters: number): void {
  if (characters <= LONGEST_TEXT) return;
  throw new RequestError(400, `a text, or all turns of a conversation, has at most ${LONGEST_TEXT} characters`);
}

/** Number of characters of the longest text in a body. */
function longestText(body: unknown): number {
  if (typeof body === "string") return body.length;
  if (typeof body !== "object" || body === null) return 0;
  return Object.values(body).reduce((most, each) => Math.max(most, longestText(each)), 0);
}
