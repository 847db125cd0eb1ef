import { z } from "zod";
import { opt, UserError } from "../errors.ts";
import { boundedFetch } from "../files/bounded-fetch.ts";
import { RequestPace } from "./request-pace.ts";

/** A server with OpenAI's API, and the settings of requests. */
export interface ChatEndpoint {
  /** Base URL as for OpenAI's clients, such as `http://127.0.0.1:11434/v1`. */
  url: string;
  model: string;
  /** Bearer token. Sent only over HTTPS or to this machine; never part of a message. */
  key?: string | undefined;
  /** Seconds to wait for an answer (default: 120). */
  timeout?: number | undefined;
  /** Maximum number of requests per minute (default: no limit). */
  perMinute?: number | undefined;
  /** Milliseconds before the first retry of a failed request; doubles for each further one (default: 500). */
  firstWait?: number | undefined;
}

export interface ChatTurn {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface ChatAnswer {
  text: string;
  tokens: { read: number; written: number };
}

/** The server did not answer this request. It may answer others. */
export class UnansweredError extends Error {
  override name = "UnansweredError";
}

const REPEATS = 6;
/** Maximum milliseconds before a retry, and the maximum that a server may request. */
const LONGEST_WAIT = 60_000;
const LONGEST_REST = 600_000;
/** Statuses of a request whose text is too long, or refused by a filter. */
const REFUSED_TEXTS: readonly number[] = [400, 413, 422];
const MAX_BYTES = 2 ** 20;
/** Maximum number of tokens of an answer: a label's name, and what the model may think before it. */
const MAX_TOKENS = 1024;

const completion = z.object({
  choices: z.tuple([z.object({ message: z.object({ content: z.string().nullish() }) })], z.unknown()),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number().optional() }).nullish(),
});

type Outcome = { answer: ChatAnswer } | { again: string; after?: number | undefined } | { refused: string };

export class ChatClient {
  readonly #url: URL;
  readonly #pace: RequestPace;
  /** Settings that some models do not support: sent until the server refuses them. */
  readonly #more: Record<string, unknown> = { max_tokens: MAX_TOKENS, temperature: 0 };
  #answered = false;

  constructor(private readonly endpoint: ChatEndpoint) {
    this.#url = completionsAt(endpoint.url);
    this.#pace = new RequestPace(endpoint.perMinute);
    if (endpoint.key !== undefined && !mayHaveKey(endpoint.url)) {
      throw new UserError(`the key would go to ${this.#place} unencrypted; give an address that begins with https://`);
    }
  }

  /**
   * Requests a model's answer.
   * @param signal ends the waiting for a turn, but not for an answer
   * @param broken ends everything
   */
  async ask(
    messages: readonly ChatTurn[],
    { temperature, signal, broken }: { temperature?: number; signal?: AbortSignal; broken?: AbortSignal } = {},
  ): Promise<ChatAnswer> {
    for (let repeat = 0; ; repeat++) {
      await this.#pace.turn(signal);
      const outcome = await this.#send(messages, temperature, broken);
      if ("answer" in outcome) {
        this.#answered = true;
        return outcome.answer;
      }
      if ("refused" in outcome) throw this.#failure(outcome.refused);
      if (repeat === REPEATS) throw new UnansweredError(outcome.again);
      const { firstWait = 500 } = this.endpoint;
      // Random, so that requests that failed together are not retried together.
      const wait = Math.min(firstWait * 2 ** repeat, LONGEST_WAIT) * (0.5 + Math.random() / 2);
      this.#pace.rest(outcome.after ?? wait);
    }
  }

  /** Host and path, without a query, which may contain secrets. */
  get #place(): string {
    return this.#url.origin + this.#url.pathname;
  }

  /** If the server has answered before, a failure is the request's fault, otherwise that of the address, the model or the key. */
  #failure(what: string): Error {
    if (this.#answered) return new UnansweredError(what);
    return new UserError(`${this.#place} does not answer: ${what}; check ${opt("endpoint")} and ${opt("model")}`, {
      code: "network",
    });
  }

  async #send(messages: readonly ChatTurn[], temperature: number | undefined, signal?: AbortSignal): Promise<Outcome> {
    const { model, key, timeout = 120 } = this.endpoint;
    const more = { ...this.#more, ...("temperature" in this.#more && temperature !== undefined && { temperature }) };
    let [status, text, headers] = [0, "", new Headers()];
    try {
      const response = await boundedFetch(
        this.#url,
        {
          method: "POST",
          headers: { "Content-Type": "application/json", ...(key !== undefined && { Authorization: `Bearer ${key}` }) },
          body: JSON.stringify({ model, messages, ...more }),
          // The key is only for the given address.
          redirect: "manual",
        },
        { silence: timeout * 1000, deadline: timeout * 1000, maxBytes: MAX_BYTES, signal },
      );
      ({ status, headers } = response);
      text = await response.text();
    } catch (error) {
      signal?.throwIfAborted();
      const { message, cause } = error as Error;
      const { code = "" } = (cause ?? {}) as { code?: string };
      const what = cause instanceof Error ? cause.message || code : message;
      // No server listens, or the host does not exist: retrying does not help.
      return !this.#answered && /^(ECONNREFUSED|ENOTFOUND)$/.test(code) ? { refused: what } : { again: what };
    }
    if (status === 200) return answerIn(text);
    const what = `${status} ${this.#messageIn(text)}`.trim();
    if (status >= 300 && status < 400)
      throw new UserError(`${this.#place} redirects (${what}); give the address that it redirects to`);
    if ([401, 402, 403].includes(status) || /insufficient_quota/.test(text)) {
      throw new UserError(`${this.#place} refuses the request (${what}); check the key and the account`, {
        code: "network",
      });
    }
    if ([408, 409, 429].includes(status) || status >= 500) return { again: what, after: this.#restIn(headers, what) };
    if (this.#leaveOut(text)) return { again: what, after: 0 };
    if (REFUSED_TEXTS.includes(status)) throw new UnansweredError(what);
    return { refused: what };
  }

  /** Removes a setting that an error message names, or renames it as newer models require. @returns whether there was one */
  #leaveOut(text: string): boolean {
    const name = Object.keys(this.#more).find((each) => text.includes(each));
    if (name === undefined) return false;
    const { [name]: value } = this.#more;
    delete this.#more[name];
    if (name === "max_tokens" && text.includes("max_completion_tokens")) this.#more.max_completion_tokens = value;
    return true;
  }

  /** Milliseconds that the server asks to wait. @throws UserError if that is too long */
  #restIn(headers: Headers, what: string): number | undefined {
    const asked = headers.get("Retry-After");
    if (asked === null) return undefined;
    const rest = /^\d+(\.\d+)?$/.test(asked) ? Number(asked) * 1000 : Date.parse(asked) - Date.now();
    if (Number.isNaN(rest)) return undefined;
    if (rest <= LONGEST_REST) return Math.max(0, rest);
    throw new UserError(
      `${this.#place} asks to wait ${Math.round(rest / 60_000)} minutes (${what}); run the same command again then to continue`,
    );
  }

  /** A server's error message in one line, without the key, which some servers repeat. */
  #messageIn(text: string): string {
    let message = text;
    try {
      const { error } = JSON.parse(text) as { error?: { message?: unknown } | string };
      message = String((typeof error === "object" ? error.message : error) ?? text);
    } catch {
      // Not JSON: use the text.
    }
    const { key } = this.endpoint;
    const told = key ? message.replaceAll(key, "***") : message;
    return told.replace(/\s+/g, " ").trim().slice(0, 200);
  }
}

function answerIn(text: string): Outcome {
  try {
    const { choices, usage } = completion.parse(JSON.parse(text));
    const tokens = { read: usage?.prompt_tokens ?? 0, written: usage?.completion_tokens ?? 0 };
    return { answer: { text: choices[0].message.content ?? "", tokens } };
  } catch {
    return { again: "the answer is not a chat completion" };
  }
}

function completionsAt(endpoint: string): URL {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new UserError(
      `${opt("endpoint")} "${endpoint}" is not an address; give one such as http://127.0.0.1:11434/v1`,
    );
  }
  if (url.username || url.password) {
    throw new UserError(`${opt("endpoint")} must hold no user or password; put the key into an environment variable`);
  }
  const path = url.pathname.replace(/\/+$/, "");
  if (!path.endsWith("/chat/completions")) url.pathname = `${path || "/v1"}/chat/completions`;
  return url;
}

/** Whether a key may be sent to an address: only if no one on the way can read it. */
export function mayHaveKey(endpoint: string): boolean {
  if (!URL.canParse(endpoint)) return false;
  const { protocol, hostname } = new URL(endpoint);
  return protocol === "https:" || /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}
