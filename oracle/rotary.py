"""Frequencies of scaled rotary positions as transformers computes them.

    python rotary.py ../test/fixtures/rotary.json

A list of settings of config.json with the radians that each pair of features turns by, and the factor of cosines and sines.
"""

import sys

from fixtures import write_json
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

SIZE = 64
LENGTH = 8192
# Bands of which pairs lie below, in and above.
CASES = [
    {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 2048},
]

if __name__ == "__main__":
    results = []
    for settings in CASES:
        config = LlamaConfig(
            hidden_size=SIZE * 2,
            num_attention_heads=2,
            head_dim=SIZE,
            max_position_embeddings=LENGTH,
            rope_parameters=dict(settings),
        )
        frequencies, factor = ROPE_INIT_FUNCTIONS[settings["rope_type"]](config, "cpu")
        results.append({"settings": settings, "frequencies": frequencies.tolist(), "factor": factor})
    write_json(sys.argv[1], results)
