import { readFileSync } from "node:fs";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { expect } from "vitest";

const [, ...lines] = readFileSync(new URL("../../assets/sst2/train.tsv", import.meta.url), "utf8")
  .trim()
  .split("\n");

/** Rows of SST-2 as a spreadsheet writes them. */
export const ROWS: readonly string[] = lines.map((line) => {
  const [text, label] = line.split("\t") as [string, string];
  return `"${text.replaceAll('"', '""')}",${label === "1" ? "good" : "bad"}`;
});

/** Some of these rows as a file. */
export const csvOf = (from: number, to: number): string => ["review,opinion", ...ROWS.slice(from, to)].join("\n");

/** Milliseconds that a page may take for anything: a busy machine takes long for what takes a second. */
export const PATIENCE = 300_000;

/** The page as a person has it before them. */
export class Visit {
  readonly page: Page;
  /** Messages of the console, errors that nobody caught, answers that say of an error, and requests to other hosts. */
  readonly complaints: string[] = [];

  constructor(page: Page, url: string) {
    this.page = page;
    page.setDefaultTimeout(PATIENCE);
    page.on("console", (entry) => this.complaints.push(entry.text()));
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.on("response", (response) => {
      if (response.status() >= 400) this.complaints.push(`${response.status()} ${response.url()}`);
    });
    page.on("request", (request) => {
      const asked = new URL(request.url());
      if (["http:", "https:"].includes(asked.protocol) && asked.host !== new URL(url).host)
        this.complaints.push(asked.href);
    });
  }

  static async of(browser: Browser | BrowserContext, url: string): Promise<Visit> {
    const visit = new Visit(await browser.newPage(), url);
    await visit.page.goto(url);
    return visit;
  }

  section(name: string) {
    return this.page.getByRole("region", { name, exact: true });
  }

  /** Gives the page a file, as its field or a drop does. */
  async give(name: string, text: string | Buffer): Promise<void> {
    await this.page.locator("#file:enabled").setInputFiles({ name, mimeType: "", buffer: Buffer.from(text) });
  }

  /** Waits until the model that comes with the page was looked at. */
  async ready(): Promise<void> {
    await this.page.getByText("million weights").waitFor();
  }

  async fill(options: Readonly<Record<string, string | number>>): Promise<void> {
    await this.page.locator("#train details").evaluate((details: HTMLDetailsElement) => {
      details.open = true;
    });
    for (const [label, value] of Object.entries(options)) await this.page.getByLabel(label).fill(String(value));
  }

  async train(): Promise<void> {
    await this.page.getByRole("button", { name: "Train", exact: true }).click();
  }

  /** Waits until the run has ended; what goes wrong ends the test. */
  async ended(): Promise<void> {
    const text = this.page.locator("#progress-text");
    const problem = this.page.locator("#train-problem");
    await expect
      .poll(async () => `${await text.textContent()}${await problem.textContent()}`, {
        timeout: PATIENCE,
        interval: 200,
      })
      .toMatch(/^(Done|Stopped)|defect|\w; \w/);
    expect(await problem.textContent()).toBe("");
  }

  /** What a button hands out. */
  async download(button: string): Promise<string> {
    const [handed] = await Promise.all([
      this.page.waitForEvent("download"),
      this.page.getByRole("button", { name: button }).click(),
    ]);
    return handed.path();
  }
}
