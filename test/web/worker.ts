import type { Browser } from "playwright-core";

/** What a worker of a page answered, and what else happened there. */
export interface WorkerOutcome<Answer> {
  answer: Answer;
  /** Whether the page is isolated from other origins. */
  isolated: boolean;
  /** Messages of the console, errors that nobody caught, and requests to other hosts. */
  complaints: string[];
}

/**
 * Starts a module as a worker in a new page of a site, sends it `message` and waits for its first message.
 * @param site address of the site
 * @param module address of the worker's module on the site
 * @throws Error where the worker fails, with what it said
 */
export async function runInWorker<Answer>(
  browser: Browser,
  site: string,
  module: string,
  message: unknown,
): Promise<WorkerOutcome<Answer>> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on("console", (entry) => complaints.push(entry.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => {
    const asked = new URL(request.url());
    if (["http:", "https:"].includes(asked.protocol) && asked.host !== new URL(site).host) complaints.push(asked.href);
  });
  try {
    await page.goto(site);
    const { answer, isolated } = await page.evaluate(
      ([address, sent]) =>
        new Promise<{ answer: unknown; isolated: boolean }>((resolve, reject) => {
          const worker = new Worker(address as string, { type: "module" });
          worker.onmessage = ({ data }) => resolve({ answer: data, isolated: crossOriginIsolated });
          worker.onerror = ({ message }) => reject(new Error(`the worker failed: ${message}`));
          worker.postMessage(sent);
        }),
      [new URL(module, site).href, message],
    );
    return { answer: answer as Answer, isolated, complaints };
  } catch (error) {
    throw new Error([error instanceof Error ? error.message : error, ...complaints].join("\n"));
  } finally {
    await page.close();
  }
}
