import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { parseCsv } from "../../src/datasets/parse-csv.ts";
import type { ChatEndpoint } from "../../src/labels/chat-client.ts";
import { type LabelByModelOptions, type LabelVote, labelByModel, labelIn } from "../../src/labels/label-by-model.ts";
import { labelsOfList } from "../../src/labels/named-labels.ts";
import { Aflora, aflora, afloraHere } from "../support/aflora.ts";
import { type Asked, ChatServer, type Reply } from "../support/chat-server.ts";

let home: string;
let server: ChatServer | undefined;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-label-"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await server?.close();
  await rm(home, { recursive: true });
});

const LABELS = labelsOfList("billing=money and cards,bug");
const TEXTS = Array.from({ length: 40 }, (_, i) => `${i % 2 ? "my card" : "it crashes"}, number ${i}`);
/** What a model that reads would say. */
const right = ({ text }: Pick<Asked, "text">): string => (text.includes("card") ? "billing" : "bug");
const isFirst = ({ text }: Asked): boolean => server!.asked.filter((each) => each.text === text).length === 1;
const error = (status: number, message: string, headers = {}): Reply => ({
  status,
  headers,
  body: JSON.stringify({ error: { message } }),
});

async function labelled(
  answer: (asked: Asked, count: number) => Reply | Promise<Reply>,
  { texts = TEXTS, ...options }: LabelByModelOptions & { texts?: string[] } = {},
  endpoint: Partial<ChatEndpoint> = {},
) {
  server = await ChatServer.start(answer);
  const given = { url: server.url, model: "small", firstWait: 1, ...endpoint };
  return labelByModel(given, LABELS, texts, options);
}

const labelsOf = (verdicts: { label: string | undefined }[]) => verdicts.map(({ label }) => label);
const RIGHT = TEXTS.map((text) => right({ text }));

describe("an answer must be a label", () => {
  test.each([
    ["bug", "bug"],
    [" Bug.\n", "bug"],
    ["**Billing**", "billing"],
    ['Label: "bug"', "bug"],
    ['{"label": "bug"}', "bug"],
    ['```json\n{"label":"billing"}\n```', "billing"],
    ["<think>It is money, or a bug?</think>\nbilling", "billing"],
    ["unsure", null],
    ["It is a bug", undefined],
    ["bug or billing", undefined],
    ["bugs", undefined],
    ["", undefined],
  ])("%j is %j", (answer, label) => {
    expect(labelIn(answer, LABELS)).toBe(label);
  });

  test("names with punctuation", () => {
    const labels = labelsOfList("[other],C.,unsure");
    expect(["[other]", "c.", "unsure"].map((name) => labelIn(name, labels))).toEqual(["[other]", "C.", "unsure"]);
  });

  test("another answer is requested once more, with the labels; otherwise the text has no label", async () => {
    const texts = ["my card", "something", "it crashes"];
    const kept: LabelVote[] = [];
    const found = await labelled(
      ({ text, body }) => {
        if (body.messages.length > 2) return body.messages[1]!.content === "my card" ? "billing" : "who knows";
        return text === "it crashes" ? "bug" : "I think that it is money";
      },
      { texts, concurrency: 1, onVote: (vote) => void kept.push(vote) },
    );
    expect(labelsOf(found)).toEqual(["billing", undefined, "bug"]);
    expect(found[1]!.reason).toBe("I think that it is money");
    expect(server!.asked.map(({ body }) => body.messages.length)).toEqual([2, 4, 2, 4, 2]);
    const [, again] = server!.asked;
    expect(again!.body.messages[2]).toEqual({ role: "assistant", content: "I think that it is money" });
    expect(again!.text).toContain("billing, bug");
    expect(kept.map(({ tokens }) => tokens.read)).toEqual([200, 200, 100]);
  });

  test("the prompt has the labels, their meanings, and the user's instructions", async () => {
    await labelled(right, { texts: ["my card"], instructions: "They are of a bank." });
    const [{ body }] = server!.asked as [Asked];
    expect(body).toMatchObject({ model: "small", temperature: 0 });
    expect(body.messages[0]!.content).toMatch(/bank[\s\S]*- billing: money and cards\n- bug\n/);
  });
});

describe("votes", () => {
  test("the majority gives the label, with its share; a tie gives none", async () => {
    const texts = ["a", "b", "c", "a"];
    const says: Record<string, string[]> = {
      a: ["bug", "billing", "bug", "bug"],
      b: ["bug", "billing", "billing", "bug"],
      c: ["unsure", "unsure", "bug", "unsure"],
    };
    const found = await labelled(({ text }) => says[text]!.pop()!, { texts, votes: 4, concurrency: 2 });
    expect(found).toEqual([
      { label: "bug", agreement: 0.75, reason: undefined },
      { label: undefined, agreement: 0.5, reason: "votes are for bug and billing" },
      { label: undefined, agreement: 0.75, reason: "unsure" },
      { label: "bug", agreement: 0.75, reason: undefined },
    ]);
    expect(server!.asked).toHaveLength(12);
    const orders = server!.asked.filter(({ text }) => text === "a").map(({ body }) => body.messages[0]!.content);
    expect(orders.filter((told) => /- billing.*\n- bug/.test(told))).toHaveLength(2);
    expect(server!.asked.filter(({ body }) => body.temperature === 0)).toHaveLength(3);
  });
});

describe("a server with failures", () => {
  test("is asked again after failures", async () => {
    const found = await labelled((asked, count) =>
      count % 5 === 0 && isFirst(asked) ? error(503, "busy") : right(asked),
    );
    expect(labelsOf(found)).toEqual(RIGHT);
    expect(server!.asked.length).toBeGreaterThan(TEXTS.length);
  });

  test("is left alone as long as it asks", async () => {
    const busy = (_: Asked, count: number) => count === 3;
    // One request after another: of several at once, some are on their way when the server asks for rest.
    const found = await labelled(
      (asked, count) => (busy(asked, count) ? error(429, "slow down", { "Retry-After": "0.5" }) : right(asked)),
      { texts: TEXTS.slice(0, 6), concurrency: 1 },
    );
    expect(labelsOf(found)).toEqual(RIGHT.slice(0, 6));
    const [, , refused, next] = server!.asked as [Asked, Asked, Asked, Asked];
    expect(next.text).toBe(refused.text);
    expect(next.at - refused.at).toBeGreaterThanOrEqual(500);
  });

  test.each([
    ["malformed JSON", { body: '{"choices": [' }],
    ["another shape", { body: '{"answer": "bug"}' }],
    ["a page", { body: "<html>Welcome</html>", headers: { "Content-Type": "text/html" } }],
    ["more than is read", { body: "x".repeat(2 ** 21) }],
  ] as [string, Reply][])("%s is asked again", async (_, bad) => {
    const found = await labelled((asked) => (isFirst(asked) ? bad : right(asked)), { texts: TEXTS.slice(0, 3) });
    expect(labelsOf(found)).toEqual(RIGHT.slice(0, 3));
    expect(server!.asked).toHaveLength(6);
  });

  test("known votes are not requested again", async () => {
    const given = { texts: TEXTS.slice(0, 1) };
    const found = await labelled((asked) => (isFirst(asked) ? "hang" : right(asked)), given, { timeout: 1 });
    expect(labelsOf(found)).toEqual(RIGHT.slice(0, 1));
  });

  test("a refused text has no label but a reason; the others have labels", async () => {
    const found = await labelled((asked) => (asked.text === TEXTS[7] ? error(400, "content filter") : right(asked)));
    expect(found[7]).toEqual({ label: undefined, agreement: 0, reason: "400 content filter" });
    expect(labelsOf(found).filter((label) => label === undefined)).toHaveLength(1);
  });

  test.each([400, 413, 422])(
    "a text that is refused first with %i has no label, also if no other is asked",
    async (status) => {
      const refuseFirst = (asked: Asked): Reply => (asked.text === TEXTS[0] ? error(status, "too long") : right(asked));
      const found = await labelled(refuseFirst);
      const refused = { label: undefined, agreement: 0, reason: `${status} too long` };
      expect(found[0]).toEqual(refused);
      expect(labelsOf(found).slice(1)).toEqual(RIGHT.slice(1));
      await server!.close();
      expect(await labelled(refuseFirst, { texts: TEXTS.slice(0, 1) })).toEqual([refused]);
    },
  );

  test("that refuses every text is given up after three requests", async () => {
    await expect(labelled(() => error(400, "no such model"))).rejects.toThrow(
      /does not answer \(400 no such model\); check option "endpoint" and option "model"/,
    );
    expect(server!.asked).toHaveLength(3);
  });

  test("unsupported settings are left out, or sent under their new name", async () => {
    const found = await labelled(({ body, text }) => {
      if ("max_tokens" in body)
        return error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.");
      if ("temperature" in body) return error(400, "'temperature' does not support 0 with this model.");
      return right({ text });
    });
    expect(labelsOf(found)).toEqual(RIGHT);
    expect(server!.asked).toHaveLength(TEXTS.length + 2);
    expect(server!.asked.at(-1)!.body.max_completion_tokens).toBeGreaterThan(0);
  });

  test.each([
    [401, "check the key"],
    [404, 'check option "endpoint" and option "model"'],
    [307, "give the address that it redirects to"],
  ])("%i at the first request ends it", async (status, remedy) => {
    await expect(labelled(() => error(status, "no", { Location: "http://127.0.0.1:1/" }))).rejects.toThrow(remedy);
    expect(server!.asked).toHaveLength(1);
  });

  test("that always fails is given up, and its answers are kept", async () => {
    const kept: LabelVote[] = [];
    const failing = labelled((asked, count) => (count > 10 ? error(500, "out of memory") : right(asked)), {
      concurrency: 1,
      onVote: (vote) => void kept.push(vote),
    });
    await expect(failing).rejects.toThrow("500 out of memory");
    expect(kept).toHaveLength(10);
  });

  test("that does not exist is reported at once", async () => {
    server = await ChatServer.start(right);
    await server.close();
    const given = { url: server.url, model: "small" };
    server = undefined;
    await expect(labelByModel(given, LABELS, TEXTS)).rejects.toThrow('check option "endpoint"');
  });

  test("a key is never sent unencrypted", async () => {
    const endpoint = { url: "http://192.0.2.1/v1", model: "small", key: "secret" };
    await expect(labelByModel(endpoint, LABELS, TEXTS)).rejects.toThrow(/^the key would go to http:\S+ unencrypted/);
  });

  test("requests come no faster than agreed", async () => {
    const begun = performance.now();
    await labelled(right, { texts: TEXTS.slice(0, 5) }, { perMinute: 600 });
    expect(server!.asked.at(-1)!.at - begun).toBeGreaterThanOrEqual(400);
  });
});

describe("the command", () => {
  const command = (...more: string[]) => [
    ...["label", "--labels", "billing=money,bug", "--file", "rows.csv", "--text", "message", "--model", "small"],
    ...["--endpoint", server!.url, "--output", "labelled.csv", ...more],
  ];
  const writeRows = (): Promise<void> =>
    writeFile(join(home, "rows.csv"), `id,message\n${TEXTS.map((text, i) => `${i},"${text}"\n`).join("")}`);
  const read = (name: string): Promise<string> => readFile(join(home, name), "utf8");
  const cellsOf = async (name: string) => parseCsv(await read(name), name).map(({ cells }) => cells);

  test("writes a training file, a second one of rows without a label, and prints the costs", async () => {
    await writeRows();
    server = await ChatServer.start((asked) => (/number [12]$/.test(asked.text) ? "unsure" : right(asked)));
    const { code, stdout, stderr } = await aflora(command("--price-per-million", "2,50", "--votes", "2"), home);
    expect([code, stderr]).toEqual([0, "reading rows.csv\n"]);
    expect(stdout).toContain("40 rows: billing 19, bug 19, unsure 2");
    expect(stdout).toContain("8,000 tokens read, 160 written, which cost 0.0240");
    const [header, first, ...others] = await cellsOf("labelled.csv");
    expect(header).toEqual(["id", "message", "label", "agreement"]);
    expect(first).toEqual(["0", TEXTS[0], "bug", "1.00"]);
    expect(others).toHaveLength(37);
    expect(await cellsOf("labelled.unsure.csv")).toEqual([
      ["id", "message", "reason"],
      ["1", TEXTS[1], "unsure"],
      ["2", TEXTS[2], "unsure"],
    ]);
    // Nothing is asked twice, also where rows come to it.
    await writeFile(join(home, "rows.csv"), `${await read("rows.csv")}40,a card more\n`);
    await afloraHere(command("--votes", "2"), home);
    expect(server.asked).toHaveLength(82);
    expect(await cellsOf("labelled.csv")).toHaveLength(40);
  });

  test("loses no answer when killed: the same command requests only the others", async () => {
    await writeRows();
    let killed = false;
    const inFlight: string[] = [];
    server = await ChatServer.start(async (asked, count) => {
      if (!killed && count > 15) inFlight.push(asked.text);
      if (!killed && count === 19) {
        running.process.kill("SIGKILL");
        await running.ended;
        killed = true;
      }
      return killed || count <= 15 ? right(asked) : "hang";
    });
    const running = new Aflora(command("--concurrency", "4"), home);
    await running.ended;
    const path = join(home, "labelled.csv.answers.jsonl");
    const kept = (await readFile(path, "utf8")).trimEnd().split("\n");
    expect(kept).toHaveLength(16);
    expect(await readdir(home)).not.toContain("labelled.csv");
    // As if it had been killed while it wrote a line.
    await writeFile(path, `${kept.join("\n")}\n{"text":"12`);
    const before = server.asked.length;
    const { code, stderr } = await afloraHere(command(), home);
    expect(code, stderr).toBe(0);
    const again = server.asked.slice(before).map(({ text }) => text);
    expect(again).toHaveLength(TEXTS.length - 15);
    expect(new Set(again).size).toBe(again.length);
    const answered = new Set(server.asked.slice(0, 15).map(({ text }) => text));
    expect(again.filter((text) => answered.has(text))).toEqual([]);
    const [, ...rows] = await cellsOf("labelled.csv");
    expect(rows.map((cells) => cells.at(-1))).toEqual(RIGHT);
    expect((await readFile(path, "utf8")).split("\n")).toHaveLength(TEXTS.length + 2);
  });

  test("Ctrl-C waits for running requests and sends no new ones", async () => {
    await writeRows();
    let interrupted: Promise<void> | undefined;
    server = await ChatServer.start(async (asked, count) => {
      if (count === 10) running.process.kill("SIGINT");
      if (count >= 10) interrupted ??= running.says(/waiting for the answers in progress/).then(() => undefined);
      await interrupted;
      return right(asked);
    });
    const running = new Aflora(command("--concurrency", "3"), home);
    const { code, stderr } = await running.ended;
    expect(code).toBe(130);
    const count = server.asked.length;
    expect(count).toBeLessThanOrEqual(12);
    expect(stderr).toContain(`${count} of 40 answers are saved; run the same command again to continue`);
    expect((await afloraHere(command(), home)).code).toBe(0);
    expect(server.asked).toHaveLength(40);
  });

  test("the key is sent, and is in no file or message, even if the server repeats it", async () => {
    await writeRows();
    vi.stubEnv("OPENAI_API_KEY", "sk-very-secret");
    server = await ChatServer.start((asked, count) => {
      if (count > 45) return error(401, `Incorrect API key provided: ${asked.authorization}`);
      if (asked.text === TEXTS[5]) return error(400, `key ${asked.authorization} may not`);
      return right(asked);
    });
    const first = await afloraHere(command("--verbose"), home);
    expect(server.asked[0]!.authorization).toBe("Bearer sk-very-secret");
    await writeFile(join(home, "rows.csv"), "message\none more\nand another\n");
    const again = [
      await afloraHere(command("--verbose"), home),
      await afloraHere(command("--verbose", "--votes", "9"), home),
    ];
    expect(again.map(({ code }) => code)).toEqual([0, 2]);
    const files = await Promise.all((await readdir(home)).map(read));
    const said = [first, ...again].flatMap(({ stdout, stderr }) => [stdout, stderr]);
    expect([...files, ...said].filter((text) => text.includes("very-secret"))).toEqual([]);
    expect(said.join()).toContain("***");
  });

  test("refuses to mix or lose labels", async () => {
    await writeRows();
    server = await ChatServer.start(right);
    expect((await afloraHere(command(), home)).code).toBe(0);
    const refusal = async (args: string[]): Promise<string> => {
      const { code, stderr } = await afloraHere(args, home);
      expect([code, stderr.split("\n").length]).toEqual([2, 3]);
      return stderr;
    };
    expect(await refusal(command("--labels", "billing,bug"))).toContain("other labels or instructions");
    expect(await refusal(command("--output", "rows.csv"))).toContain("was not labelled here");
    expect(await refusal(command("--key-env", "NO_SUCH_KEY"))).toContain("NO_SUCH_KEY is not set");
    expect(server.asked).toHaveLength(40);
  });
});
