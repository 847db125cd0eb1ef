import fc from "fast-check";
import type { Grammar } from "./parts.ts";

const jinja = fc.letrec<{ expression: string; statement: string; body: string }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(
      "messages",
      "message",
      "message['content']",
      "message.role",
      "bos_token",
      "loop.index",
      "x",
      "tools",
    ),
    fc.constantFrom(
      "'text'",
      "''",
      "7",
      "1.5",
      "true",
      "none",
      "[]",
      "{}",
      "messages[0]",
      "messages[-1]['content'][:3]",
    ),
    fc.constantFrom(
      "range(3)",
      "range(10**9)",
      "range(1000000000)",
      "range(299999)",
      "namespace(x=1)",
      "strftime_now('%d')",
    ),
    fc
      .tuple(
        tie("expression"),
        fc.constantFrom("+", "~", "*", "-", "/", "%", "in", "and", "or", "==", "<"),
        tie("expression"),
      )
      .map((parts) => `(${parts.join(" ")})`),
    fc
      .tuple(
        tie("expression"),
        fc.constantFrom("upper", "length", "tojson", "join('x')", "trim", "list", "first", "string"),
      )
      .map(([value, filter]) => `${value} | ${filter}`),
    fc
      .tuple(
        tie("expression"),
        fc.constantFrom("replace('', 'xxxx')", "replace('t', 'tttt')", "indent(999)", "items()", "split(' ')"),
      )
      .map(([value, call]) => `(${value}).${call}`),
    fc.tuple(tie("expression"), tie("expression")).map(([a, b]) => `[${a}, ${b}]`),
    fc.tuple(tie("expression"), tie("expression"), tie("expression")).map(([a, b, c]) => `(${a} if ${b} else ${c})`),
  ),
  statement: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(
      "text\n",
      "<|im_start|>",
      "{{ raise_exception('no') }}",
      "{% generation %}a{% endgeneration %}",
      "{%",
    ),
    tie("expression").map((value) => `{{ ${value} }}`),
    fc
      .tuple(fc.constantFrom("message", "x", "y"), tie("expression"), tie("body"))
      .map(([name, of, body]) => `{% for ${name} in ${of} %}${body}{% endfor %}`),
    fc
      .tuple(tie("expression"), tie("body"), tie("body"))
      .map(([a, b, c]) => `{% if ${a} %}${b}{% else %}${c}{% endif %}`),
    tie("expression").map((value) => `{% set x = ${value} %}`),
    // A text that doubles.
    fc.integer({ min: 1, max: 60 }).map((times) => `{% set x = 'text' %}${"{% set x = x ~ x %}".repeat(times)}{{ x }}`),
    tie("body").map((body) => `{% macro f(a) %}${body}{{ f(a) }}{% endmacro %}{{ f(1) }}`),
  ),
  body: fc.array(tie("statement"), { maxLength: 4 }).map((statements) => statements.join("")),
}));
export const template: Grammar = fc
  .tuple(jinja.body, fc.oneof({ weight: 5, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.constant(400) }))
  .map(([body, times]) => Buffer.from(body.repeat(times)));
