/**
 * Serves the predictions of two adapters over HTTP: one encoder in memory, an adapter for each question.
 * Run it with: npx tsx examples/serve-adapters.ts [folder for the runs] [port]
 * and ask:     curl "http://127.0.0.1:8080/team?text=My+parcel+is+lost"
 *              curl "http://127.0.0.1:8080/urgent?text=My+parcel+is+lost"
 */
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AdapterHost, BUNDLED_MODEL, fineTune } from "aflora";

const [folder = "runs/served", port = "8080"] = process.argv.slice(2);

const host = await AdapterHost.load(BUNDLED_MODEL);
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
  await host.add(question, output);
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://127.0.0.1");
  const question = pathname.slice(1);
  const text = searchParams.get("text");
  const known = host.names.includes(question);
  if (!known || !text) {
    response.writeHead(known ? 400 : 404).end(`ask /${host.names.join(" or /")}, with ?text=…\n`);
    return;
  }
  const [prediction] = await host.use(question).predict([text]);
  response.setHeader("Content-Type", "application/json");
  response.end(`${JSON.stringify(prediction)}\n`);
});
server.listen(Number(port), "127.0.0.1", () => {
  console.log(`listening at http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

process.once("SIGINT", stop).once("SIGTERM", stop);

async function stop(): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await host.release();
}
