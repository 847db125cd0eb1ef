"""Conversations as Transformers' apply_chat_template writes them, and a small byte-level tokenizer to chat with.

    python chat.py ../test/fixtures/chat

Reads `templates/*.jinja` there; writes `tokenizer/`, `conversations.json` and `rendered.json`: by template, the text of each of the
100 conversations, with and without a generation prompt, or null where the template refuses it; of `marked` the ids and
the mask of the assistant's tokens too.
"""

import json
import random
import sys
from pathlib import Path

from fixtures import write_json
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

out = Path(sys.argv[1])

SPECIAL = ["<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>"]
CORPUS = """
The cat sat on the mat and looked at the rain. What is the capital of France? The capital of France is Paris.
Please help me: my order is late, where is my parcel? I am sorry to hear that. Your parcel is on its way.
My card was charged twice. You will get your money back within three days. How do I log in? Press the button.
Write a short poem about the sea. The sea is wide, the sea is blue, it sings a song for me and you.
How many apples are left? There were 12 apples, 5 were eaten, so 12 - 5 = 7 apples are left. The answer is 7.
user assistant system tool You are a helpful assistant. Thank you very much! Hello, how are you today?
Summarise the dialogue. Person1 asks Person2 for help, and Person2 agrees to help Person1 tomorrow morning.
""".strip().split("\n")

tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
tokenizer.train_from_iterator(CORPUS, trainer)
folder = out / "tokenizer"
folder.mkdir(parents=True, exist_ok=True)
tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
settings = {"bos_token": "<s>", "eos_token": "<|im_end|>", "pad_token": "<pad>", "clean_up_tokenization_spaces": False}
settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 2048}
(folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")

draw = random.Random(7)
WORDS = " ".join(CORPUS).split() + ["naïve", "東京", "🙂", "don't", "a\nb", "  two  spaces ", "\"quoted\"", "<b>&amp;</b>", "{{x}}", "Ünï"]
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather of a \"city\" <now> & später",
     "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}}},
]


def text():
    words = " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, 12)))
    return draw.choice(["", "", "", "\n", "  "]) + words + draw.choice(["", "", "", "\n\n", " "])


def conversation(number):
    messages = [{"role": "system", "content": text()}] if draw.random() < 0.3 else []
    if number % 33 == 7:
        messages.append({"role": "assistant", "content": text()})
    for _ in range(draw.randint(1, 4)):
        messages.append({"role": "user", "content": text()})
        if number % 33 == 8:
            messages.append({"role": "user", "content": text()})
        messages.append({"role": "assistant", "content": text()})
    if number % 9 != 4:
        return {"messages": messages}
    call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "東京", "days": 3, "exact": True, "of": [1.5, None]}}}
    messages[-1:] = [
        {"role": "assistant", "content": draw.choice(["", text()]), "tool_calls": [call] * draw.randint(1, 2)},
        {"role": "tool", "content": "rain, 12.5 °C"},
        {"role": "assistant", "content": text()},
    ]
    return {"messages": messages, "tools": TOOLS[: draw.randint(1, 2)]}


conversations = [conversation(number) for number in range(100)]
rendered = {}
for path in sorted((out / "templates").glob("*.jinja")):
    chat = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|im_end|>", pad_token="<pad>")
    chat.chat_template = path.read_text()
    texts = []
    for given in conversations:
        try:
            both = [
                chat.apply_chat_template(given["messages"], tools=given.get("tools"), tokenize=False, add_generation_prompt=prompt)
                for prompt in (False, True)
            ]
            # The prompt is all that the second adds, but where a template says otherwise.
            assert both[1].startswith(both[0])
            texts.append([both[0], both[1][len(both[0]) :]])
        except Exception as error:
            texts.append(None)
    rendered[path.stem] = texts
    if path.stem == "marked":
        masks = []
        for given in conversations[:40]:
            found = chat.apply_chat_template(given["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
            masks.append({"ids": found["input_ids"], "mask": found["assistant_masks"]})
        write_json(out / "masks.json", masks)
write_json(out / "conversations.json", conversations)
write_json(out / "rendered.json", rendered)
print({name: sum(text is not None for text in texts) for name, texts in rendered.items()})
