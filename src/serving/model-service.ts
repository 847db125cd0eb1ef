import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import { didYouMean, UserError } from "../errors.ts";
import type { FineTunedModel } from "../inference/fine-tuned-model.ts";
import { type JsonSchema, tokenBytesOf } from "../inference/generation/constrained/schema-constraint.ts";
import type { TokenLikelihood } from "../inference/generation/token-likelihood.ts";
import type { AnswerEnd, AnswerPiece, AnswersOptions } from "../inference/write-answers.ts";
import type { Prompt } from "../tasks/prompt.ts";
import { AnswerTimes } from "./answer-times.ts";
import { nowInSeconds } from "./choice-forms.ts";
import { RequestError, refusalBody, type WritingRequest } from "./openai-requests.ts";
import type { PrometheusMetrics } from "./prometheus.ts";
import { RequestQueue } from "./request-queue.ts";
import { type ShownLikelihood, shownLikelihoods } from "./token-logprobs.ts";
import type { SentEvent, ShownAnswer, WritingForm } from "./writing-form.ts";
import { answerOptions, usage } from "./written-answers.ts";

/** Served models by name. */
export type ServedModels = ReadonlyMap<string, FineTunedModel>;

/** Abilities of models and their paths. The first that fits a model counts. */
const SERVICES: readonly { does: string; paths: readonly string[]; fits(model: FineTunedModel): boolean }[] = [
  {
    does: "writes texts",
    paths: ["/v1/chat/completions", "/v1/completions", "/v1/responses"],
    fits: ({ writes }) => writes,
  },
  { does: "embeds texts", paths: ["/v1/embeddings"], fits: ({ embeds }) => embeds },
  { does: "ranks passages", paths: ["/v1/rerank"], fits: ({ reranks }) => reranks },
  { does: "labels texts", paths: ["/v1/classify"], fits: () => true },
];

/** Response for an internal error. */
export const DEFECT = {
  error: { message: "this is a defect of aflora", type: "server_error", param: null, code: null },
};

/** Limits for all requests. */
export interface ServiceOptions {
  maxWaiting: number;
  maxNewTokens: number;
  /** Receives the time of each answer. */
  log?: ((line: string) => void) | undefined;
}

/** A form of answers, and a schema beyond the request's own fields. */
export interface AskedForm {
  form: WritingForm;
  /** Schema of the answers. Overrides the request's format. */
  jsonSchema?: JsonSchema | undefined;
}

/** Finds the models for requests and runs them: generation for several requests at once, other computations one after the other. */
export class ModelService {
  /** Time of creation, in seconds. */
  readonly created = nowInSeconds();
  readonly #models: ServedModels;
  readonly #queue: RequestQueue;
  readonly #options: ServiceOptions;
  readonly #closing: AbortSignal;
  readonly #count: ReturnType<typeof answerCounters>;

  constructor(models: ServedModels, options: ServiceOptions, closing: AbortSignal, metrics: PrometheusMetrics) {
    this.#models = models;
    this.#queue = new RequestQueue(options.maxWaiting);
    this.#options = options;
    this.#closing = closing;
    this.#count = answerCounters(metrics);
    metrics.gauge("aflora_waiting_requests", "Requests in progress or waiting.", () => this.#queue.waiting);
  }

  /** Whether another request would be refused. */
  get isFull(): boolean {
    return this.#queue.isFull;
  }

  get names(): string[] {
    return [...this.#models.keys()];
  }

  /** @throws RequestError 404 if there is no such model */
  find(name: string): FineTunedModel {
    const model = this.#models.get(name);
    if (model) return model;
    const message = `there is no model "${name}"${didYouMean(name, this.names)} (models: ${this.names.join(", ")})`;
    throw new RequestError(404, message, { param: "model", code: "model_not_found" });
  }

  /** Finds the model for a request. @throws RequestError if the model answers at another path */
  modelOf(name: string, { req: { path } }: Context): FineTunedModel {
    const model = this.find(name);
    const { does, paths } = SERVICES.find(({ fits }) => fits(model))!;
    if (paths.includes(path)) return model;
    const message = `model "${name}" ${does} (${model.kind.name}); ask ${paths.join(" or ")}`;
    throw new RequestError(400, message, { param: "model" });
  }

  /** Aborts if the client disconnects or the server closes. */
  #signalOf(context: Context): AbortSignal {
    return AbortSignal.any([this.#closing, context.req.raw.signal]);
  }

  #optionsFor(
    context: Context,
    request: WritingRequest,
    { jsonSchema }: AskedForm,
    onToken: AnswersOptions["onToken"] & {},
  ): AnswersOptions {
    const own = answerOptions(request, this.#options.maxNewTokens);
    return { ...own, ...(jsonSchema !== undefined && { jsonSchema }), signal: this.#signalOf(context), onToken };
  }

  /** Answers prompts. Returns the complete answers. */
  async write(context: Context, request: WritingRequest, prompts: readonly Prompt[], asked: AskedForm) {
    const times = new AnswerTimes();
    const model = this.modelOf(request.model, context);
    const options = this.#optionsFor(context, request, asked, times.token);
    const end = this.#queue.enter();
    try {
      const answers = await model.answers(prompts, options);
      const used = usage(answers, options.copies);
      this.#answered(request.model, times, used.prompt_tokens);
      const shown = answers.map(({ text, reason, tokens }) => ({ text, reason, logprobs: logprobsOf(tokens, model) }));
      return context.json(asked.form.body(request.model, shown, used));
    } catch (error) {
      throw unlessClosing(error, options);
    } finally {
      end();
    }
  }

  /** Streams one answer to a prompt, or several. */
  async stream(context: Context, request: WritingRequest, prompt: Prompt, asked: AskedForm) {
    const times = new AnswerTimes();
    const model = this.modelOf(request.model, context);
    const options = this.#optionsFor(context, request, asked, times.token);
    const pieces = model.pieces(prompt, options);
    const end = this.#queue.enter();
    let next: IteratorResult<AnswerPiece, void>;
    try {
      // Errors about the prompt appear here, while the response can still be an error.
      next = await pieces.next();
    } catch (error) {
      end();
      throw error;
    }
    const form = asked.form.stream(request.model, request.stream_options?.include_usage ?? false);
    const { copies = 1, likeliest } = options;
    const answers = Array.from({ length: copies }, () => new StreamedAnswer(model, likeliest !== undefined));
    const ends: AnswerEnd[] = [];
    const eventsOf = ({ answer, text, likelihood, end: ended }: AnswerPiece): SentEvent[] => {
      const shown = answers[answer]!.take(text, likelihood);
      const sent = text === "" ? [] : form.piece(answer, text, shown);
      if (!ended) return sent;
      ends.push(ended);
      const used = ends.length === copies ? usage(ends, copies) : undefined;
      return [...sent, ...form.last(answer, answers[answer]!.whole(ended), used)];
    };
    const response = streamSSE(
      context,
      async (events) => {
        const send = async (sent: readonly SentEvent[]): Promise<void> => {
          for (const { data, ...named } of sent) await events.writeSSE({ ...named, data: JSON.stringify(data) });
        };
        try {
          await send(answers.flatMap((_, index) => form.opening(index)));
          for (; !next.done; next = await pieces.next()) await send(eventsOf(next.value));
          this.#answered(request.model, times, ends[0]!.promptTokens);
          if (form.closing !== undefined) await events.writeSSE({ data: form.closing });
        } finally {
          end();
        }
      },
      async (error, events) => {
        const isRefusal = error instanceof UserError;
        if (!isRefusal) process.stderr.write(`${error.stack}\n`);
        const shown = isRefusal ? refusalBody(new RequestError(400, error.message)) : DEFECT;
        await events.writeSSE({ data: JSON.stringify(shown) });
      },
    );
    // A stream always says "keep-alive", even if the client requested otherwise.
    if (/\bclose\b/i.test(context.req.header("Connection") ?? "")) response.headers.set("Connection", "close");
    return response;
  }

  /** Logs and counts an answer to a prompt. */
  #answered(model: string, times: AnswerTimes, promptTokens: number): void {
    this.#options.log?.(times.line(model, promptTokens));
    this.#count.answers({ model });
    this.#count.promptTokens({ model }, promptTokens);
    this.#count.generatedTokens({ model }, times.tokens);
  }

  /** Computes other results in turn, unless the client disconnects. */
  async compute<Found>(
    context: Context,
    name: string,
    found: (model: FineTunedModel, signal: AbortSignal) => Promise<Found>,
  ): Promise<Found> {
    const model = this.modelOf(name, context);
    const signal = this.#signalOf(context);
    const end = await this.#queue.turn();
    try {
      const result = await found(model, signal);
      this.#count.answers({ model: name });
      return result;
    } catch (error) {
      throw unlessClosing(error, { signal });
    } finally {
      end();
    }
  }
}

/** An error, or instead the one to answer with if a signal ended the work: the client may ask again. */
const unlessClosing = (error: unknown, { signal }: Pick<AnswersOptions, "signal">): unknown =>
  signal?.aborted ? new RequestError(503, "the server is closing") : error;

const answerCounters = (metrics: PrometheusMetrics) => ({
  answers: metrics.counter("aflora_answers_total", "Answered requests by model."),
  promptTokens: metrics.counter("aflora_prompt_tokens_total", "Tokens of prompts by model."),
  generatedTokens: metrics.counter("aflora_generated_tokens_total", "Generated tokens by model."),
});

/** A partly streamed answer. */
class StreamedAnswer {
  readonly #model: FineTunedModel;
  readonly #tellsLikelihoods: boolean;
  #text = "";
  /** Likelihoods of tokens whose text has not been sent. */
  #held: TokenLikelihood[] = [];
  readonly #shown: ShownLikelihood[] = [];

  constructor(model: FineTunedModel, tellsLikelihoods: boolean) {
    this.#model = model;
    this.#tellsLikelihoods = tellsLikelihoods;
  }

  /** @returns likelihoods of the tokens of a text; those without text are kept for the next call */
  take(text: string, likelihood: TokenLikelihood | undefined): ShownAnswer["logprobs"] {
    this.#text += text;
    if (likelihood) this.#held.push(likelihood);
    if (!this.#tellsLikelihoods || text === "") return null;
    const shown = logprobsOf(this.#held, this.#model) ?? [];
    this.#held = [];
    this.#shown.push(...shown);
    return shown;
  }

  whole({ reason }: AnswerEnd): ShownAnswer {
    return { text: this.#text, reason, logprobs: this.#tellsLikelihoods ? this.#shown : null };
  }
}

/** Likelihoods of tokens, if they were requested. */
function logprobsOf(
  tokens: readonly TokenLikelihood[] | undefined,
  { base: { tokenizer } }: FineTunedModel,
): ShownAnswer["logprobs"] {
  return tokens ? shownLikelihoods(tokens, tokenBytesOf(tokenizer), tokenizer) : null;
}
