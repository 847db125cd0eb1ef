import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import { didYouMean } from "../errors.ts";
import type { FineTunedModel } from "../inference/fine-tuned-model.ts";
import { type JsonSchema, vocabularyOf } from "../inference/generation/constrained/schema-constraint.ts";
import type { TokenLikelihood } from "../inference/generation/token-likelihood.ts";
import type { AnswerEnd, AnswerPiece, AnswersOptions } from "../inference/write-answers.ts";
import type { Prompt } from "../tasks/prompt.ts";
import { AnswerTimes } from "./answer-times.ts";
import { nowInSeconds } from "./choice-forms.ts";
import { RequestError, type WritingRequest } from "./openai-requests.ts";
import { RequestQueue } from "./request-queue.ts";
import { type ShownLikelihood, shownLikelihoods } from "./token-logprobs.ts";
import type { SentEvent, ShownAnswer, WritingForm } from "./writing-form.ts";
import { answerOptions, usage } from "./written-answers.ts";

/** What is served, by the names that requests ask for. */
export type ServedModels = ReadonlyMap<string, FineTunedModel>;

/** What models do, and where they are asked for it: the first that fits a model. */
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

/** What a client is told of an error that is ours. */
export const DEFECT = {
  error: { message: "this is a defect of aflora", type: "server_error", param: null, code: null },
};

/** What holds for all requests. */
export interface ServiceOptions {
  maxWaiting: number;
  maxNewTokens: number;
  /** Told of each answer how long it took. */
  log?: ((line: string) => void) | undefined;
}

/** What a request for answers asks of a form beyond its own fields. */
export interface AskedForm {
  form: WritingForm;
  /** What answers are held to, in place of what the request's format says. */
  jsonSchema?: JsonSchema | undefined;
}

/** Finds the models that requests ask for, and lets them answer: those that write several at once, the others one after the other. */
export class ModelService {
  /** When the models were there first, in seconds. */
  readonly created = nowInSeconds();
  readonly #models: ServedModels;
  readonly #queue: RequestQueue;
  readonly #options: ServiceOptions;
  readonly #closing: AbortSignal;

  constructor(models: ServedModels, options: ServiceOptions, closing: AbortSignal) {
    this.#models = models;
    this.#queue = new RequestQueue(options.maxWaiting);
    this.#options = options;
    this.#closing = closing;
  }

  get names(): string[] {
    return [...this.#models.keys()];
  }

  /** @throws RequestError 404 where there is no such model. */
  find(name: string): FineTunedModel {
    const model = this.#models.get(name);
    if (model) return model;
    const message = `there is no model "${name}"${didYouMean(name, this.names)} (models: ${this.names.join(", ")})`;
    throw new RequestError(404, message, { param: "model", code: "model_not_found" });
  }

  /** The model that a request asks for. @throws RequestError where it is to be asked at another path. */
  modelOf(name: string, { req: { path } }: Context): FineTunedModel {
    const model = this.find(name);
    const { does, paths } = SERVICES.find(({ fits }) => fits(model))!;
    if (paths.includes(path)) return model;
    const message = `model "${name}" ${does} (${model.kind.name}); ask ${paths.join(" or ")}`;
    throw new RequestError(400, message, { param: "model" });
  }

  /** Whoever goes away is answered no more. */
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

  /** Answers some prompts, whole. */
  async write(context: Context, request: WritingRequest, prompts: readonly Prompt[], asked: AskedForm) {
    const times = new AnswerTimes();
    const model = this.modelOf(request.model, context);
    const options = this.#optionsFor(context, request, asked, times.token);
    const end = this.#queue.enter();
    try {
      const answers = await model.answers(prompts, options);
      const used = usage(answers, options.copies);
      this.#options.log?.(times.line(request.model, used.prompt_tokens));
      const shown = answers.map(({ text, reason, tokens }) => ({ text, reason, logprobs: logprobsOf(tokens, model) }));
      return context.json(asked.form.body(request.model, shown, used));
    } finally {
      end();
    }
  }

  /** Answers one prompt as it comes, once or several times. */
  async stream(context: Context, request: WritingRequest, prompt: Prompt, asked: AskedForm) {
    const times = new AnswerTimes();
    const model = this.modelOf(request.model, context);
    const options = this.#optionsFor(context, request, asked, times.token);
    const pieces = model.pieces(prompt, options);
    const end = this.#queue.enter();
    let next: IteratorResult<AnswerPiece, void>;
    try {
      // What is wrong with a prompt shows here, while the answer can still be an error.
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
          this.#options.log?.(times.line(request.model, ends[0]!.promptTokens));
          if (form.closing !== undefined) await events.writeSSE({ data: form.closing });
        } finally {
          end();
        }
      },
      async (error, events) => {
        process.stderr.write(`${error.stack}\n`);
        await events.writeSSE({ data: JSON.stringify(DEFECT) });
      },
    );
    // A stream says "keep-alive" by itself, whatever was asked for.
    if (/\bclose\b/i.test(context.req.header("Connection") ?? "")) response.headers.set("Connection", "close");
    return response;
  }

  /** Computes what is no writing, in its turn, unless whoever asked goes away. */
  async compute<Found>(
    context: Context,
    name: string,
    found: (model: FineTunedModel, signal: AbortSignal) => Promise<Found>,
  ): Promise<Found> {
    const model = this.modelOf(name, context);
    const signal = this.#signalOf(context);
    const end = await this.#queue.turn();
    try {
      return await found(model, signal);
    } catch (error) {
      throw signal.aborted ? new RequestError(503, "the server is closing") : error;
    } finally {
      end();
    }
  }
}

/** An answer as far as it is streamed. */
class StreamedAnswer {
  readonly #model: FineTunedModel;
  readonly #tellsLikelihoods: boolean;
  #text = "";
  /** Of tokens whose text is still to come. */
  #held: TokenLikelihood[] = [];
  readonly #shown: ShownLikelihood[] = [];

  constructor(model: FineTunedModel, tellsLikelihoods: boolean) {
    this.#model = model;
    this.#tellsLikelihoods = tellsLikelihoods;
  }

  /** @returns how likely the tokens were that a text comes of; those of no text wait for the next */
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

/** How likely tokens were, where that was asked for. */
function logprobsOf(
  tokens: readonly TokenLikelihood[] | undefined,
  { base: { tokenizer } }: FineTunedModel,
): ShownAnswer["logprobs"] {
  return tokens ? shownLikelihoods(tokens, vocabularyOf(tokenizer).bytes, tokenizer) : null;
}
