"""Losses, gradients and evaluations of embeddings and rerankers by sentence-transformers, on the small BERT.

    python embeddings.py ../test/fixtures/models/bert-1 ../test/fixtures/embeddings

losses.json: batches of examples of several texts (ids), and for each case the loss's name and settings, and its value.
losses.safetensors: by case, the gradient with respect to some weights, `<case>.<weight>`. evaluators.json: vectors, scores
and relevant texts, and what the evaluators say of them. reranker.json: logits, and what losses and gradients are.
"""

import random
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from fixtures import padded, write_json, write_tensors
from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
from sentence_transformers.cross_encoder.losses import ListNetLoss
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.evaluation import (
    EmbeddingSimilarityEvaluator,
    InformationRetrievalEvaluator,
)
from sentence_transformers.sentence_transformer.losses.matryoshka import shrink
from sentence_transformers.sentence_transformer.losses.triplet import TripletDistanceMetric
from torch import nn
from transformers import BertModel

WEIGHTS = [
    "encoder.layer.0.attention.self.query.weight",
    "encoder.layer.1.output.dense.weight",
    "encoder.layer.1.output.LayerNorm.bias",
]


def text(generator):
    return [2, *(generator.randrange(10, 120) for _ in range(generator.randrange(3, 14))), 3]


def embed(model, texts):
    batch = padded([{"inputIds": ids, "tokenTypeIds": [0] * len(ids)} for ids in texts])
    hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"][:, :, None].float()
    return (hidden * mask).sum(1) / mask.sum(1)


def loss_cases():
    model = nn.Identity()
    ranking = losses.MultipleNegativesRankingLoss
    both = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    return {
        "pairs": ("pairs", "multiple-negatives-ranking", {}, ranking(model)),
        "both-directions": ("pairs", "multiple-negatives-ranking", {"bothDirections": True}, ranking(model, **both)),
        "negatives": ("triplets", "multiple-negatives-ranking", {}, ranking(model)),
        "triplet": (
            "triplets",
            "triplet",
            {"margin": 0.2},
            losses.TripletLoss(model, distance_metric=TripletDistanceMetric.COSINE, triplet_margin=0.2),
        ),
        "cosent": ("scored", "cosent", {}, losses.CoSENTLoss(model)),
        "contrastive": ("labelled", "contrastive", {"margin": 0.4}, losses.ContrastiveLoss(model, margin=0.4)),
        "matryoshka": ("pairs", "multiple-negatives-ranking", {"dimensions": [32, 16, 8]}, ranking(model)),
        "matryoshka-triplet": (
            "triplets",
            "triplet",
            {"margin": 0.2, "dimensions": [32, 8]},
            losses.TripletLoss(model, distance_metric=TripletDistanceMetric.COSINE, triplet_margin=0.2),
        ),
        "matryoshka-cosent": ("scored", "cosent", {"dimensions": [16, 4]}, losses.CoSENTLoss(model)),
    }


def write_losses(folder, out):
    generator = random.Random(5)
    batches = {
        "pairs": [{"texts": [text(generator) for _ in range(2)]} for _ in range(7)],
        "triplets": [{"texts": [text(generator) for _ in range(3)]} for _ in range(6)],
        # With ties.
        "scored": [{"texts": [text(generator) for _ in range(2)], "label": generator.randrange(0, 6) / 2} for _ in range(8)],
        "labelled": [{"texts": [text(generator) for _ in range(2)], "label": i % 2} for i in range(6)],
    }
    cases, tensors = {}, {}
    for name, (rows, loss_name, settings, loss) in loss_cases().items():
        torch.manual_seed(0)
        model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
        examples = batches[rows]
        columns = list(zip(*(example["texts"] for example in examples), strict=True))
        labels = torch.tensor([float(example.get("label", 0)) for example in examples])
        vectors = [embed(model, column) for column in columns]
        # Of all dimensions shrinking changes nothing: these losses look at cosines alone.
        value = sum(
            loss.compute_loss_from_embeddings([shrink(vector, size) for vector in vectors], labels)
            for size in settings.get("dimensions", [32])
        )
        value.backward()
        cases[name] = {"batch": rows, "loss": loss_name, "settings": settings, "value": value.item()}
        parameters = dict(model.named_parameters())
        for weight in WEIGHTS:
            tensors[f"{name}.{weight}"] = parameters[weight].grad
    write_json(out / "losses.json", {"batches": batches, "cases": cases})
    write_tensors(out / "losses.safetensors", tensors)


class Card:
    def set_evaluation_metrics(self, *_args, **_kwargs):
        pass


def retrieval(generator):
    """Hits of queries by score, with several relevant texts for some, and some relevant texts that are not found."""
    corpus = {f"d{i:03}": f"text {i}" for i in range(150)}
    queries = {f"q{i}": f"query {i}" for i in range(12)}
    relevant = {query: set(generator.sample(sorted(corpus), generator.randrange(1, 6))) for query in queries}
    scores = {
        query: {text: generator.random() + (0.4 if text in relevant[query] else 0) for text in corpus} for query in queries
    }
    evaluator = InformationRetrievalEvaluator(
        queries, corpus, relevant, precision_recall_at_k=[1, 3, 5, 10], mrr_at_k=[10], ndcg_at_k=[10], map_at_k=[100]
    )
    hits = [
        [{"corpus_id": text, "score": score} for text, score in sorted(of.items(), key=lambda item: -item[1])[:100]]
        for of in scores.values()
    ]
    found = evaluator.compute_metrics(hits)
    names = {"ndcg@k": [10], "mrr@k": [10], "map@k": [100], "recall@k": [1, 3, 5, 10], "precision@k": [1, 3, 5, 10]}
    metrics = {f"{name[:-2]}_at_{k}": float(found[name][k]) for name, ks in names.items() for k in ks}
    return {
        "outcomes": [
            {"hits": [hit["corpus_id"] in relevant[query] for hit in of], "relevant": len(relevant[query])}
            for query, of in zip(queries, hits, strict=True)
        ],
        "metrics": metrics,
    }


def similarity(generator):
    vectors = {f"{side}{i}": [round(generator.gauss(0, 1), 3) for _ in range(8)] for side in "ab" for i in range(20)}
    scores = [generator.randrange(0, 11) / 2 for _ in range(20)]

    class Stub:
        similarity_fn_name = "cosine"
        model_card_data = Card()

        def encode(self, texts, **_):
            return np.array([vectors[each] for each in texts], dtype=np.float32)

    evaluator = EmbeddingSimilarityEvaluator(
        [f"a{i}" for i in range(20)], [f"b{i}" for i in range(20)], scores, main_similarity="cosine"
    )
    found = evaluator(Stub())
    pairs = [{"vectors": [vectors[f"a{i}"], vectors[f"b{i}"]], "score": score} for i, score in enumerate(scores)]
    return {"pairs": pairs, "pearson": float(found["pearson_cosine"]), "spearmanr": float(found["spearman_cosine"])}


def reranking(generator):
    samples, scores = [], {}
    for i in range(15):
        positive = [f"p{i}.{j}" for j in range(generator.randrange(1, 4))]
        negative = [f"n{i}.{j}" for j in range(generator.randrange(3, 20))]
        samples.append({"query": f"q{i}", "positive": positive, "negative": negative})
        for each in positive + negative:
            scores[each] = round(generator.random() + (0.3 if each[0] == "p" else 0), 6)
    stub = SimpleNamespace(
        predict=lambda pairs, **_: np.array([scores[document] for _, document in pairs]), model_card_data=Card()
    )
    found = CrossEncoderRerankingEvaluator(samples, at_k=10)(stub)
    queries = [
        {
            "scores": [scores[each] for each in sample["positive"] + sample["negative"]],
            "relevant": len(sample["positive"]),
        }
        for sample in samples
    ]
    metrics = {"map": found["map"], "mrr_at_10": found["mrr@10"], "ndcg_at_10": found["ndcg@10"]}
    return {"queries": queries, "metrics": {name: float(value) for name, value in metrics.items()}}


def reranker_losses(generator):
    """Logits of pairs, and what the losses and their gradients with respect to them are."""
    logits = torch.tensor([generator.gauss(0, 2) for _ in range(10)], requires_grad=True)
    labels = torch.tensor([0, 1, 1, 0, 0.25, 0.5, 1, 0, 0, 0.75])
    # What BinaryCrossEntropyLoss applies to a cross-encoder's logits.
    loss = nn.BCEWithLogitsLoss()(logits, labels)
    loss.backward()
    graded = {"logits": logits.tolist(), "labels": labels.tolist(), "value": loss.item(), "gradients": logits.grad.tolist()}

    lists = [3, 5, 2]
    rows = torch.tensor([generator.gauss(0, 2) for _ in range(sum(lists))], requires_grad=True)

    class Stub(nn.Module):
        num_labels = 1
        device = "cpu"

        def preprocess(self, pairs, **_):
            return {"rows": torch.tensor([int(document) for _, document in pairs])}

        def forward(self, tokens):
            return {"scores": rows[tokens["rows"]]}

    starts = [sum(lists[:i]) for i in range(len(lists))]
    documents = [[str(start + j) for j in range(count)] for start, count in zip(starts, lists, strict=True)]
    # The whole of the softmax of the labels on the first: as one-hot targets have it.
    targets = [torch.tensor([1e4] + [0.0] * (count - 1)) for count in lists]
    ranked = ListNetLoss(Stub())([["q"] * len(lists), documents], targets)
    ranked.backward()
    return {
        "graded": graded,
        "lists": {"sizes": lists, "logits": rows.tolist(), "value": ranked.item(), "gradients": rows.grad.tolist()},
    }


def main(folder, out):
    write_losses(folder, out)
    generator = random.Random(9)
    write_json(
        out / "evaluators.json",
        {"retrieval": retrieval(generator), "similarity": similarity(generator), "reranking": reranking(generator)},
    )
    write_json(out / "reranker.json", reranker_losses(generator))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
