/**
 * Serves the predictions of two adapters over HTTP: one encoder in memory, an adapter for each question.
 * Run it with: npx tsx examples/serve-adapters.ts [folder for the runs] [port]
 * and ask:     curl "http://127.0.0.1:8080/team?text=My+parcel+is+lost"
 *              curl "http://127.0.0.1:8080/urgent?text=My+parcel+is+lost"
 */
import { existsSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AdapterHost, BUNDLED_MODEL, fineTune, loadBaseModel, nodeRuntime, openAdapter } from "aflora";

const [folder = "runs/served", port = "8080"] = process.argv.slice(2);

const host = new AdapterHost(await loadBaseModel(BUNDLED_MODEL), nodeRuntime());
for (const question of ["team", "urgent"]) {
  const output = join(folder, question);
  // Both questions are columns of the same file. A run that is there already is not trained again.
  if (!existsSync(join(output, "result.json"))) {
    await fineTune(
      {
        train: fileURLToPath(new URL("tickets.csv", import.meta.url)),
        text: "message",
        label: question,
        epochs: 5,
        batchSize: 16,
        maxLength: 64,
        learningRate: 1e-2,
        headLearningRate: 1e-2,
        output,
      },
      { overwrite: true },
    );
  }
  await host.add(question, await openAdapter(output));
}

/** Most predictions that wait for the processor; who comes later is asked to come again. */
const MAX_WAITING = 64;
let waiting = 0;

// Whoever sends slowly or nothing, or opens many connections, is not waited for. Node bounds a request's head by 16 KiB.
const server = createServer({ headersTimeout: 5_000, requestTimeout: 10_000, keepAliveTimeout: 5_000 });
server.maxConnections = 256;
server.on("request", (request, response) => {
  answer(request, response).catch((error: unknown) => {
    console.error(error);
    end(response, 500, "this is a defect of the server");
  });
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const help = `ask /${host.names.join(" or /")}, with ?text=…`;
  if (request.method !== "GET") return end(response, 405, help);
  // A request has no body that anybody reads: what comes of one ends with the connection.
  const { "content-length": length = "0", "transfer-encoding": encoding } = request.headers;
  if (length !== "0" || encoding !== undefined) return end(response, 413, help);
  const [path = "", query] = request.url!.split("?", 2);
  const question = path.slice(1);
  const text = new URLSearchParams(query).get("text");
  if (!host.names.includes(question)) return end(response, 404, help);
  if (!text) return end(response, 400, help);
  if (waiting >= MAX_WAITING) return end(response, 503, "too many questions at a time; ask again");
  waiting++;
  try {
    const [prediction] = await host.use(question).predict([text]);
    response.setHeader("Content-Type", "application/json");
    response.end(`${JSON.stringify(prediction)}\n`);
  } finally {
    waiting--;
  }
}

function end(response: ServerResponse, status: number, line: string): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { Connection: "close" }).end(`${line}\n`);
}

server.listen(Number(port), "127.0.0.1", () => {
  console.log(`listening at http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

process.once("SIGINT", stop).once("SIGTERM", stop);

async function stop(): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await host.release();
}
