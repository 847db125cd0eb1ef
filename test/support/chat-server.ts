import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as the server got it. */
export interface Asked {
  body: { model: string; messages: { role: string; content: string }[]; [setting: string]: unknown };
  /** The last message. */
  text: string;
  authorization: string | undefined;
  /** Milliseconds. */
  at: number;
}

/** A model's answer, a whole response, or nothing at all while the connection is open. */
export type Reply = string | { status?: number; headers?: Record<string, string>; body: string } | "hang";

/** A server of OpenAI's chat completions on 127.0.0.1, whose answers a test decides. */
export class ChatServer {
  readonly asked: Asked[] = [];
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  }

  /** @param answer called with each request and their number so far, this one among them */
  static async start(answer: (asked: Asked, count: number) => Reply | Promise<Reply>): Promise<ChatServer> {
    const http = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body = JSON.parse(Buffer.concat(chunks).toString()) as Asked["body"];
      const text = body.messages.at(-1)!.content;
      const asked = { body, text, authorization: request.headers.authorization, at: performance.now() };
      server.asked.push(asked);
      const reply = request.url === "/v1/chat/completions" ? await answer(asked, server.asked.length) : NOT_THERE;
      if (reply === "hang") return;
      if (typeof reply === "object") response.writeHead(reply.status ?? 200, reply.headers).end(reply.body);
      else {
        const usage = { prompt_tokens: 100, completion_tokens: 2, total_tokens: 102 };
        response.end(JSON.stringify({ choices: [{ message: { role: "assistant", content: reply } }], usage }));
      }
    });
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    const server = new ChatServer(http);
    return server;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const NOT_THERE: Reply = { status: 404, body: "" };
