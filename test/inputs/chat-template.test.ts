import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { UserError } from "../../src/errors.ts";
import { type ChatMessage, ChatTemplate } from "../../src/inputs/chat-template.ts";
import { loadTokenizer } from "../../src/inputs/load-tokenizer.ts";
import { languageModel } from "../../src/tasks/kinds/language-model.ts";

const CHAT = fileURLToPath(new URL("../fixtures/chat/", import.meta.url));
const read = (name: string) => JSON.parse(readFileSync(`${CHAT}${name}`, "utf8"));
const TOKENS = { bos_token: "<s>", eos_token: "<|im_end|>", pad_token: "<pad>" };

interface Given {
  messages: ChatMessage[];
  tools?: unknown[];
}
const conversations: Given[] = read("conversations.json");
const rendered: Record<string, ([string, string] | null)[]> = read("rendered.json");

const sourceOf = (name: string) => readFileSync(`${CHAT}templates/${name}.jinja`, "utf8");
const templateOf = (name: string) => new ChatTemplate({ default: sourceOf(name) }, TOKENS, "here");

const names = readdirSync(`${CHAT}templates`)
  .filter((file) => file.endsWith(".jinja"))
  .map((file) => file.replace(".jinja", ""));

describe.each(names)("%s", (name) => {
  const template = templateOf(name);
  const expected = rendered[name]!;

  test("renders 100 conversations like Transformers, and rejects the same ones", () => {
    expect(expected).toHaveLength(100);
    conversations.forEach(({ messages, tools }, i) => {
      const write = (addGenerationPrompt: boolean) => template.render(messages, { tools, addGenerationPrompt });
      if (!expected[i]) {
        expect(() => write(false)).toThrow(UserError);
        return;
      }
      const [text, prompt] = expected[i];
      expect(write(false)).toBe(text);
      expect(write(true)).toBe(text + prompt);
    });
  });

  test("locates the assistant's turns", () => {
    conversations.forEach(({ messages, tools }, i) => {
      if (!expected[i]) return;
      const { text, turns } = template.renderTurns(messages, { tools });
      expect(text).toBe(expected[i][0]);
      const said = messages.filter(({ role }) => role === "assistant");
      expect(turns).toHaveLength(said.length);
      let before = 0;
      turns.forEach(({ start, end }, turn) => {
        expect(start).toBeGreaterThanOrEqual(before);
        before = end;
        const own = text.slice(start, end);
        const { content, tool_calls: calls } = said[turn]!;
        // The content and the end of the turn, but nothing of other turns.
        expect(own).toContain((content ?? "").trim());
        expect(own).toMatch(/(<\|im_end\|>|<\|eot_id\|>|<end_of_turn>)$/);
        expect(own.length - (content ?? "").length).toBeLessThan(calls ? 400 : 16);
      });
    });
  });
});

test("finds the assistant tokens of Transformers' mask if a template marks them", async () => {
  const tokenizer = await loadTokenizer(folderFiles(`${CHAT}tokenizer`));
  const chatty = Object.assign(Object.create(tokenizer), { chatTemplate: templateOf("marked") });
  const masks: { ids: number[]; mask: number[] }[] = read("masks.json");
  masks.forEach(({ ids, mask }, index) => {
    const encoded = languageModel.encode({ index, text: "", ...conversations[index]! }, chatty, 10_000);
    expect([...encoded.encoding.inputIds]).toEqual(ids);
    const counted = new Array(ids.length).fill(0);
    for (const row of encoded.rows!) counted[row + 1] = 1;
    expect(counted).toEqual(mask);
  });
});

test("locates turns by their content if a template renders them differently once others follow", () => {
  // Like reasoning models: only the last turn keeps its reasoning.
  const source =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content | trim }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  const messages = [
    { role: "user", content: "a" },
    { role: "assistant", content: " b\n" },
    { role: "user", content: "c" },
    { role: "assistant", content: "d" },
  ];
  const { text, turns } = new ChatTemplate({ default: source }, TOKENS, "here").renderTurns(messages);
  expect(turns.map(({ start, end }) => text.slice(start, end))).toEqual([
    "b<|im_end|>",
    "<think>\n\n</think>\n\nd<|im_end|>",
  ]);
});

test("uses the template for tools, and can write today's date", () => {
  const template = new ChatTemplate(
    { default: "{{ strftime_now('%Y') }}", tool_use: "{{ tools | length }}" },
    TOKENS,
    "here",
  );
  expect(template.render([])).toBe(String(new Date().getFullYear()));
  expect(template.render([], { tools: [{}] })).toBe("1");
});

test("reports a malformed or missing template in one sentence", () => {
  const broken = new ChatTemplate({ default: "{% if %}" }, TOKENS, "models/mine");
  expect(() => broken.render([])).toThrow(/^models\/mine: the chat template fails: /);
  const named = new ChatTemplate({ rag: "" }, TOKENS, "models/mine");
  expect(() => named.render([])).toThrow(
    new UserError('models/mine has chat templates named rag, but none is the default; name one "default"'),
  );
});

describe("ids and text", () => {
  test("recognises special tokens in texts, and restores texts", async () => {
    const tokenizer = await loadTokenizer(folderFiles(`${CHAT}tokenizer`));
    const text = "<|im_start|>user\nnaïve 東京 🙂  two  spaces<|im_end|>\n";
    const ids = tokenizer.idsOf(text);
    expect([ids[0], ids.at(-2)]).toEqual([3, 4]);
    expect(tokenizer.decode(ids)).toBe(text);
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe("user\nnaïve 東京 🙂  two  spaces\n");
    expect(tokenizer.decode([])).toBe("");
    expect(tokenizer.specialTokens).toEqual({ bos: { id: 0, text: "<s>" }, eos: { id: 4, text: "<|im_end|>" } });
  });
});

/** Sets x to a million letters. */
const LONG = `{% set x = 'aaaaaaaa' %}${"{% set x = x ~ x %}".repeat(17)}`;

test.each([
  "{{ range(10**9) }}",
  "{{ range(1000000000) }}",
  "{{ range(0, 5, 0) }}",
  "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
  "{% set n = namespace(x='aaaaaaaa') %}{% for a in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
  "{% set n = namespace(x=[1]) %}{% for a in range(40) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
  "{% macro f(a) %}{{ f(a) }}{% endmacro %}{{ f(1) }}",
  `{% set x = ['a'] %}${"{% set x = [x, x] %}".repeat(60)}{{ x | tojson }}`,
  `{% set x = ['a'] %}${"{% set x = [x, x] %}".repeat(60)}{{ x == 'a' }}`,
  `{% set x = namespace(a='a') %}${"{% set x = namespace(a=x, b=x) %}".repeat(60)}{{ x ~ 'a' }}`,
  "{% set n = namespace(x=1) %}{% set n.x = [n, n] %}{{ n.x | tojson }}",
  `${LONG}{{ x.replace('', x) }}`,
  `${LONG}{{ x | replace('a', x) }}`,
  `${LONG}{% set f = x.replace %}{{ f('', x) }}`,
  `${LONG}{{ range(9999) | join(x) }}`,
  `${LONG}{{ [x, x, x] | join }}`,
  `${LONG}{% set y = x[:99999] ~ 'b' ~ x[:99999] %}{{ y in x }}`,
  `${LONG}{% set y = x[:99999] ~ 'b' ~ x[:99999] %}{{ x.split(y) }}`,
  `${LONG}{{ strftime_now(x) }}`,
  "{{ 'a\nb' | indent(100000000) }}",
  "{{ [[1]] | tojson(indent=100000000) }}",
  `${LONG}{{ [1, 2, 3] | tojson(separators=[x, x]) }}`,
  `{%${" ".repeat(200_000)}x`,
])("rejects a template that never ends or exhausts the memory: %s", (source) => {
  const template = new ChatTemplate({ default: source }, {}, "here");
  expect(() => template.render([{ role: "user", content: "Hi" }])).toThrow(/^here: the chat template fails: ./);
});

test("filters and functions of texts work within the limits", () => {
  const template = new ChatTemplate(
    {
      default:
        "{{ 'abab'.replace('b', 'cc') }} {{ 'abab' | replace('b', 'cc', 1) }} {{ 'a\nb' | indent(2) }} {{ 'b' in 'abc' }} " +
        "{{ ['a', 'b'] | join(', ') }} {{ [1, {'a': 2}] | tojson(indent=2) }} {{ 'a b'.split(' ') | length }} {{ 'abc'[1:] }}" +
        "{% set n = namespace(x=[]) %}{% for a in [1, 2] if a > 1 %}{% set n.x = n.x + [a] %}{% endfor %}{{ n.x }}",
    },
    {},
    "here",
  );
  const json = JSON.stringify([1, { a: 2 }], null, 2);
  expect(template.render([])).toBe(`accacc accab a\n  b true a, b ${json} 2 bc[2]`);
});
