type Labels = Readonly<Record<string, string>>;
type Kind = "counter" | "gauge";

interface Family {
  kind: Kind;
  help: string;
  /** Values by their labels as text, such as `{path="/v1/models"}`. */
  values: Map<string, number>;
}

/** Milliseconds that a gauge may take to be read before a page of metrics leaves it out. */
const READING_TIME = 2000;

/** Counters and gauges of a process, written in Prometheus' text format. */
export class PrometheusMetrics {
  readonly #families = new Map<string, Family>();
  readonly #gauges: (() => Promise<void>)[] = [];

  constructor() {
    this.gauge("process_resident_memory_bytes", "Resident memory of the process in bytes.", () =>
      process.memoryUsage.rss(),
    );
    const start = Date.now() / 1000 - process.uptime();
    this.gauge("process_start_time_seconds", "Start of the process in Unix time, in seconds.", () => start);
  }

  /**
   * Declares a counter, whose name ends in `_total`.
   * @returns a function that adds to it
   */
  counter(name: string, help: string): (labels?: Labels, by?: number) => void {
    const { values } = this.#family(name, "counter", help);
    return (labels = {}, by = 1) => {
      const key = labelText(labels);
      values.set(key, (values.get(key) ?? 0) + by);
    };
  }

  /**
   * Declares a gauge.
   * @param read returns the value now; a gauge that cannot be read is left out
   */
  gauge(name: string, help: string, read: () => number | Promise<number>): void {
    const { values } = this.#family(name, "gauge", help);
    this.#gauges.push(async () => {
      values.clear();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<undefined>((resolve) => {
        timer = setTimeout(resolve, READING_TIME, undefined);
      });
      const value = await Promise.race([Promise.resolve().then(read), late]).catch(() => undefined);
      clearTimeout(timer);
      if (value !== undefined) values.set("", value);
    });
  }

  /**
   * Writes all values.
   * @see https://prometheus.io/docs/instrumenting/exposition_formats/
   */
  async text(): Promise<string> {
    await Promise.all(this.#gauges.map((read) => read()));
    const lines = [...this.#families].flatMap(([name, { kind, help, values }]) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${kind}`,
      ...[...values].map(([labels, value]) => `${name}${labels} ${value}`),
    ]);
    return `${lines.join("\n")}\n`;
  }

  #family(name: string, kind: Kind, help: string): Family {
    const family: Family = { kind, help, values: new Map() };
    this.#families.set(name, family);
    return family;
  }
}

/** Content type of the text format. */
export const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

const escaped = (value: string): string =>
  value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
