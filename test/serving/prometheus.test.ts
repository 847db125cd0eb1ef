import { expect, test } from "vitest";
import { parseListenAddress, serveMetrics } from "../../src/serving/metrics-server.ts";
import { PrometheusMetrics } from "../../src/serving/prometheus.ts";

test("metrics are written in Prometheus' text format, and served", async () => {
  const metrics = new PrometheusMetrics();
  const count = metrics.counter("made_total", "Things made.");
  count({ kind: 'a "b"\\\n' });
  count({ kind: "c" }, 2);
  count({ kind: "c" });
  metrics.gauge("length", "Length of the queue.", async () => 4);
  metrics.gauge("unknown", "A gauge that cannot be read.", () => Promise.reject(new Error("gone")));
  const server = await serveMetrics(metrics, { host: "127.0.0.1", port: 0 });
  try {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).toContain(
      [
        "# HELP made_total Things made.",
        "# TYPE made_total counter",
        'made_total{kind="a \\"b\\"\\\\\\n"} 1',
        'made_total{kind="c"} 3',
        "# HELP length Length of the queue.",
        "# TYPE length gauge",
        "length 4",
        "# HELP unknown A gauge that cannot be read.",
        "# TYPE unknown gauge\n",
      ].join("\n"),
    );
    expect(text).toMatch(/^process_resident_memory_bytes \d{7,}$/m);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  } finally {
    await server.close();
  }
});

test.each([
  ["9464", "127.0.0.1", 9464],
  ["0.0.0.0:80", "0.0.0.0", 80],
  ["::1:80", "::1", 80],
])("%s is the address %s, port %d", (text, host, port) => {
  expect(parseListenAddress(text)).toEqual({ host, port });
});

test.each(["", "x", "1:", "65536", "host:123456"])("%j is no address", (text) => {
  expect(() => parseListenAddress(text)).toThrow(/is not a port or host:port/);
});
