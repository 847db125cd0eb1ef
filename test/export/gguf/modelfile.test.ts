import { describe, expect, it } from "vitest";
import { ollamaTemplate } from "../../../src/export/gguf/modelfile-node.ts";
import { ChatTemplate } from "../../../src/inputs/chat-template.ts";

const ofChat = (source: string, bos = "") =>
  ollamaTemplate(new ChatTemplate({ default: source }, { bos_token: bos, eos_token: "</s>" }, "model"), bos);

/** Turns one after the other, and the beginning of an answer. */
const EACH = "{% for message in messages %}<{{ message.role }}>{{ message.content }}</s>{% endfor %}";
const ANSWER = "{% if add_generation_prompt %}<assistant>{% endif %}";

describe("a chat template as Ollama's", () => {
  it("of ChatML, with the template's default system turn", () => {
    const source =
      "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    expect(ofChat(source)).toEqual({
      template:
        "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}{{ if .Prompt }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n<|im_start|>assistant\n{{ end }}{{ .Response }}<|im_end|>\n",
      system: "Be kind.",
    });
    // Ollama's own first token changes nothing if the template does not write it.
    expect(ofChat(source, "<s>")).toEqual(ofChat(source));
  });

  it("with a system turn that nothing marks", () => {
    const source =
      "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] + '\n' }}{% else %}{{ '### ' + message['role'] + ':\n' + message['content'] + '\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '### assistant:\n' }}{% endif %}";
    expect(ofChat(source)).toEqual({
      template:
        "{{ if .System }}{{ .System }}\n{{ end }}{{ if .Prompt }}### user:\n{{ .Prompt }}\n### assistant:\n{{ end }}{{ .Response }}\n",
    });
  });

  it("of Llama 3, whose first token Ollama adds itself", () => {
    const source =
      "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";
    expect(ofChat(source, "<|begin_of_text|>")).toEqual({
      template:
        "{{ if .System }}<|start_header_id|>system<|end_header_id|>\n\n{{ .System }}<|eot_id|>{{ end }}{{ if .Prompt }}<|start_header_id|>user<|end_header_id|>\n\n{{ .Prompt }}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{{ end }}{{ .Response }}<|eot_id|>",
    });
  });

  it("of Gemma, which has no system role", () => {
    const source =
      "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}";
    expect(ofChat(source, "<bos>")).toEqual({
      template:
        "{{ if .Prompt }}<start_of_turn>user\n{{ .Prompt }}<end_of_turn>\n<start_of_turn>model\n{{ end }}{{ .Response }}<end_of_turn>\n",
    });
  });

  it("has the system turn of a template that refuses a question without the beginning of its answer", () => {
    const refusal =
      "{% if messages[-1].role == 'user' and not add_generation_prompt %}{{ raise_exception('?') }}{% endif %}";
    expect(ofChat(`${refusal}${EACH}${ANSWER}`)).toEqual(ofChat(`${EACH}${ANSWER}`));
    expect(ofChat(`${EACH}${ANSWER}`)!.template).toMatch(/^{{ if .System }}<system>{{ .System }}<\/s>{{ end }}/);
  });

  it("is left to the base model if turns are not written one after the other", () => {
    expect(ofChat("{{ messages[-1].content }}")).toBeUndefined();
    expect(
      ofChat("{{ messages | length }}: {% for message in messages %}[{{ message.content }}]{% endfor %}"),
    ).toBeUndefined();
    expect(ofChat("{{ raise_exception('no') }}")).toBeUndefined();
    const single = "{% if messages | length > 2 %}{{ raise_exception('one question only') }}{% endif %}";
    expect(ofChat(`${single}${EACH}${ANSWER}`)).toBeUndefined();
    // Nothing marks where a question begins.
    expect(ofChat("{% for message in messages %}{{ message.content }}</s>{% endfor %}")).toBeUndefined();
  });

  it("is left to the base model if a turn's text depends on its place", () => {
    // Answers of the past leave out the thoughts that a new one begins with.
    expect(ofChat(`${EACH}{% if add_generation_prompt %}<assistant><think>{% endif %}`)).toBeUndefined();
    const last =
      "{% for message in messages %}[{{ message.role }}]{{ message.content }}{{ '.' if loop.last else '|' }}{% endfor %}";
    expect(ofChat(`${last}{% if add_generation_prompt %}[assistant]{% endif %}`)).toBeUndefined();
  });

  it("is left to the base model if its default system prompt is not written as a given one is", () => {
    const unended = "{% if messages[0].role != 'system' %}<system>Be kind.{% endif %}";
    expect(ofChat(`${unended}${EACH}${ANSWER}`)).toBeUndefined();
    const unbegun = "{% if messages[0].role != 'system' %}Be kind.</s>{% endif %}";
    expect(ofChat(`${unbegun}${EACH}${ANSWER}`)).toBeUndefined();
  });
});
