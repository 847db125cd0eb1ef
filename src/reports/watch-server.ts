import { createServer, type ServerResponse } from "node:http";
import { readRunRecords } from "../runs/read-run.ts";
import type { FreezingRecord, MetricsRecord, ScoresRecord } from "../runs/records.ts";
import { close, LOOPBACK, listen } from "../serving/loopback.ts";
import { page } from "./page.ts";
import { reportedRun } from "./report.ts";
import { runContent, runTitle } from "./run-page.ts";

export interface WatchServer {
  /** Address of the page, such as `http://127.0.0.1:41234/`. */
  readonly url: string;
  /**
   * Adds a record that the run has just written. Await it between steps: a step blocks the thread, and the browser gets answers only
   * while
   * this waits for its turn.
   */
  push(record: MetricsRecord | FreezingRecord | ScoresRecord): Promise<void>;
  /** Shows the run as its folder contains it now, tells the browser that it has ended, and stops serving. */
  close(): Promise<void>;
}

/** Parts of the error message if a port cannot be used. */
const WATCHING = { doing: "watch", remedy: "give another port, or none for a free one" };

/** Minimum milliseconds between two pages sent. */
const pause = 500;
/** Drawing takes at most one part in this many of the training's time. */
const share = 30;

// Replaces the page's content with the server's, but keeps details open that the reader opened.
const script = `
const main = document.querySelector("main"), live = document.getElementById("live");
const events = new EventSource("/events");
events.onopen = () => { live.textContent = "Watching the run"; };
events.onerror = () => { live.textContent = "No answer from the run; trying again"; };
events.onmessage = ({ data }) => {
  const open = [...main.querySelectorAll("details[open]")].map(({ id }) => id);
  main.innerHTML = JSON.parse(data);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
};
events.addEventListener("end", () => { events.close(); live.textContent = "The run has ended"; });
`;

/**
 * Serves the page of a run that is being written, on 127.0.0.1 only, at `port` or any free one. Open pages follow the run by server-sent
 * events. A page that is opened or reloaded later starts with all records so far.
 * @throws {UserError} if the folder is no run or the port cannot be used
 */
export async function startWatchServer({
  directory,
  port = 0,
}: {
  directory: string;
  port?: number;
}): Promise<WatchServer> {
  let records = await readRunRecords(directory);
  const watchers = new Set<ServerResponse>();
  let timer: NodeJS.Timeout | undefined;
  let drawing = 0;

  const draw = () => `data: ${JSON.stringify(runContent(reportedRun(records)).text)}\n\n`;
  const send = () => {
    timer = undefined;
    const start = performance.now();
    const event = draw();
    drawing = performance.now() - start;
    for (const watcher of watchers) watcher.write(event);
  };

  const routes: Record<string, (response: ServerResponse) => void> = {
    "/": (response) => {
      response.setHeader("Content-Type", "text/html; charset=utf-8");
      const run = reportedRun(records);
      response.end(page(runTitle(run), runContent(run), "/watch.js"));
    },
    "/watch.js": (response) => {
      response.setHeader("Content-Type", "text/javascript; charset=utf-8");
      response.end(script);
    },
    "/events": (response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream", Connection: "close" });
      // Includes records from between drawing the page and following it.
      response.write(draw());
      watchers.add(response);
      response.on("close", () => watchers.delete(response));
    },
  };

  const server = createServer((request, response) => {
    response.setHeader("Cache-Control", "no-store");
    response.setHeader("X-Content-Type-Options", "nosniff");
    const route = routes[request.url?.split("?")[0] ?? "/"];
    if (!LOOPBACK.test(request.headers.host ?? ""))
      response.writeHead(403).end("Only 127.0.0.1 and localhost are served.\n");
    else if (request.method !== "GET") response.writeHead(405, { Allow: "GET" }).end();
    else if (route) route(response);
    else response.writeHead(404).end("No such page.\n");
  });

  const bound = await listen(server, port, WATCHING);

  return {
    url: `http://127.0.0.1:${bound}/`,
    push(record) {
      if (record.kind === "freezing") records.freezing.push(record);
      else if (record.kind === "step") records.steps.push(record);
      else if (record.kind === "scores") records.scores.push(record);
      else records.evaluations.push(record);
      if (watchers.size) timer ??= setTimeout(send, Math.max(pause, drawing * share));
      return new Promise((resolve) => setImmediate(resolve));
    },
    async close() {
      clearTimeout(timer);
      try {
        records = await readRunRecords(directory);
      } finally {
        const last = `${draw()}event: end\ndata:\n\n`;
        for (const watcher of watchers) watcher.end(last);
        await close(server);
      }
    },
  };
}

/**
 * Tries a port before a run folder is created.
 * @throws {UserError} if the port cannot be used
 */
export async function checkPort(port: number): Promise<void> {
  const server = createServer();
  await listen(server, port, WATCHING);
  await close(server);
}
