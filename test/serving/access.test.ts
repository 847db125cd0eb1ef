import { createServer } from "node:http";
import { Hono } from "hono";
import { describe, expect, test } from "vitest";
import { checkKey, checkOrigin } from "../../src/serving/access.ts";
import { listen } from "../../src/serving/loopback.ts";
import { RequestError } from "../../src/serving/openai-requests.ts";
import { serveModels } from "../../src/serving/openai-server.ts";
import { RequestQueue } from "../../src/serving/request-queue.ts";

const LOCAL = ["127.0.0.1", "::1", "127.0.0.2"];

/** Status of an answer to a request with such headers. */
async function statusOf(headers: Record<string, string>, key?: string): Promise<number> {
  const app = new Hono();
  app.onError((error, context) => context.text("", error instanceof RequestError ? error.status : 500));
  app.get("/", (context) => {
    checkOrigin(context);
    if (key !== undefined) checkKey(context, key);
    return context.text("");
  });
  return (await app.request("/", { headers })).status;
}

describe("a local server", () => {
  test.each(["127.0.0.1", "127.0.0.1:8080", "127.0.0.2:1", "localhost:1", "LOCALHOST", "[::1]:80"])(
    "answers at %s",
    async (host) => {
      expect(await statusOf({ host })).toBe(200);
      expect(await statusOf({ host, origin: `http://${host}` })).toBe(200);
    },
  );

  // macOS has no other addresses of this machine than these two, unless somebody adds them.
  test.each(process.platform === "linux" ? LOCAL : LOCAL.slice(0, 2))("answers at its URL on %s", async (host) => {
    const limits = { port: 0, maxNewTokens: 1, maxWaiting: 1, maxBodyBytes: 1 };
    const server = await serveModels(new Map(), { ...limits, host });
    try {
      expect((await fetch(`${server.url}/models`)).status).toBe(200);
    } finally {
      await server.close();
    }
  });

  test.each(["example.org", "127.0.0.1.example.org", "a127.0.0.1", "127.0.0.1:80:80", "localhost.", "127a0.0.1", ""])(
    "does not answer at %j, nor a page from there",
    async (host) => {
      expect(await statusOf({ host })).toBe(403);
      expect(await statusOf({ host: "localhost", origin: `http://${host}` })).toBe(403);
    },
  );

  test("does not answer a page without an address, such as a file's", async () => {
    expect(await statusOf({ host: "localhost", origin: "null" })).toBe(403);
  });

  test("with a key answers only requests with the complete key", async () => {
    const given = (authorization: string) => statusOf({ host: "localhost", authorization }, "sesame");
    expect(await given("Bearer sesame")).toBe(200);
    for (const wrong of ["Bearer sesamf", "Bearer sesam", "Bearer sesames", "Bearer ", "sesame", "bearer sesame"]) {
      expect(await given(wrong), wrong).toBe(401);
    }
    expect(await statusOf({ host: "localhost" }, "sesame")).toBe(401);
  });
});

test.each([-1, 65_536, 1.5])("%d is no port", async (port) => {
  const server = createServer();
  await expect(listen(server, port)).rejects.toThrow(`can't listen on port ${port}, which is not a port; give another`);
  expect(server.listening).toBe(false);
});

describe("waiting requests", () => {
  test("run in order, one at a time", async () => {
    const queue = new RequestQueue(3);
    const turns: number[] = [];
    const all = [1, 2, 3].map(async (number) => {
      const end = await queue.turn();
      turns.push(number);
      return end;
    });
    const first = await all[0]!;
    expect(turns).toEqual([1]);
    first();
    (await all[1]!)();
    await all[2]!;
    expect(turns).toEqual([1, 2, 3]);
  });

  test("are refused if too many wait, until one has ended", async () => {
    const queue = new RequestQueue(2);
    const end = await queue.turn();
    const second = queue.turn();
    await expect(queue.turn()).rejects.toMatchObject({
      status: 503,
      code: "overloaded",
      message: "2 requests wait already; ask again later",
    });
    end();
    const third = queue.turn();
    await expect(queue.turn()).rejects.toMatchObject({ status: 503 });
    (await second)();
    (await third)();
    await queue.turn();
  });
});
