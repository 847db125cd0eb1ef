import { createServer, type ServerResponse } from "node:http";
import { type RunRecords, readRunRecords } from "../runs/read-run.ts";
import { close, LOOPBACK, listen } from "../serving/loopback.ts";
import type { ProgressEvent } from "../training/progress.ts";
import type { FreezingRecord, MetricsRecord, ScoresRecord } from "../training/training-records.ts";
import { html, page } from "./page.ts";
import { duration } from "./quantities.ts";
import { reportedRun } from "./report.ts";
import { runContent, runTitle } from "./run-page.ts";
import { StageText } from "./stage-text.ts";

export interface WatchServer {
  /** Address of the page, such as `http://127.0.0.1:41234/`. */
  readonly url: string;
  /** Shows the run in a folder. @throws {UserError} if the folder is no run */
  follow(directory: string): Promise<void>;
  /**
   * Adds a record that the run has just written, or shows the progress of a stage. Await it between steps: a step blocks the thread, and
   * the browser gets answers only while this waits for its turn.
   */
  push(event: WatchedEvent): Promise<void>;
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
events.addEventListener("stage", ({ data }) => { live.textContent = JSON.parse(data); });
events.onmessage = ({ data }) => {
  live.textContent = "Watching the run";
  const open = [...main.querySelectorAll("details[open]")].map(({ id }) => id);
  main.innerHTML = JSON.parse(data);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
};
events.addEventListener("end", () => { events.close(); live.textContent = "The run has ended"; });
`;

/** Content of the page before there is a run folder. */
const BEGINS = { title: "A run that begins", content: html`<p>The run has no records yet.</p>` };

/** Events of a run. */
type WatchedEvent = MetricsRecord | FreezingRecord | ScoresRecord | ProgressEvent;

/** A run as its page shows it. */
class WatchedRun {
  readonly #stageText = new StageText(duration);
  #followed: { directory: string; records: RunRecords } | undefined;
  #stage: string | undefined;
  #isDrawn = true;

  async follow(directory: string): Promise<void> {
    this.#followed = { directory, records: await readRunRecords(directory) };
    this.#stage = undefined;
  }

  /** Reads the records again. */
  async end(): Promise<void> {
    if (this.#followed) await this.follow(this.#followed.directory);
  }

  add(event: WatchedEvent): void {
    this.#stage = event.kind === "progress" ? this.#stageText.of(event) : undefined;
    this.#isDrawn &&= event.kind === "progress";
    const { records } = this.#followed ?? {};
    if (event.kind === "freezing") records?.freezing.push(event);
    else if (event.kind === "step") records?.steps.push(event);
    else if (event.kind === "scores") records?.scores.push(event);
    else if (event.kind === "evaluation") records?.evaluations.push(event);
  }

  get page(): typeof BEGINS {
    const run = this.#followed && reportedRun(this.#followed.records);
    return run ? { title: runTitle(run), content: runContent(run) } : BEGINS;
  }

  /** Server-sent events of everything. */
  get whole(): string {
    return `data: ${JSON.stringify(this.page.content.text)}\n\n${this.#stageEvent}`;
  }

  /** Server-sent events since the last call: everything if a record was added, otherwise the stage. */
  get news(): string {
    const news = this.#isDrawn ? this.#stageEvent : this.whole;
    this.#isDrawn = true;
    return news;
  }

  get #stageEvent(): string {
    return this.#stage === undefined ? "" : `event: stage\ndata: ${JSON.stringify(this.#stage)}\n\n`;
  }
}

/**
 * Serves the page of a run on 127.0.0.1 only, at `port` or any free one: the progress of its stages, and its records when its folder is
 * followed. Open pages follow the run by server-sent events. A page that is opened or reloaded later starts with all records so far.
 * @throws {UserError} if the port cannot be used
 */
export async function startWatchServer(port = 0): Promise<WatchServer> {
  const run = new WatchedRun();
  const watchers = new Set<ServerResponse>();
  let timer: NodeJS.Timeout | undefined;
  let drawing = 0;

  const send = () => {
    timer = undefined;
    const start = performance.now();
    const events = run.news;
    drawing = performance.now() - start;
    for (const watcher of watchers) watcher.write(events);
  };

  const routes: Record<string, (response: ServerResponse) => void> = {
    "/": (response) => {
      response.setHeader("Content-Type", "text/html; charset=utf-8");
      const { title, content } = run.page;
      response.end(page(title, content, "/watch.js"));
    },
    "/watch.js": (response) => {
      response.setHeader("Content-Type", "text/javascript; charset=utf-8");
      response.end(script);
    },
    "/events": (response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream", Connection: "close" });
      // Includes records from between drawing the page and following it.
      response.write(run.whole);
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
    async follow(directory) {
      await run.follow(directory);
      for (const watcher of watchers) watcher.write(run.whole);
    },
    push(event) {
      run.add(event);
      if (watchers.size) timer ??= setTimeout(send, Math.max(pause, drawing * share));
      return new Promise((resolve) => setImmediate(resolve));
    },
    async close() {
      clearTimeout(timer);
      // A run that failed early has no folder left to read, and its own error matters more.
      await run.end().catch(() => undefined);
      const last = `${run.whole}event: end\ndata:\n\n`;
      for (const watcher of watchers) watcher.end(last);
      await close(server);
    },
  };
}
