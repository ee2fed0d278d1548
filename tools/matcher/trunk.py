"""MiniLM's layers as torch trains them, for the matcher and for the reader that begins with it."""

from collections.abc import Mapping

import numpy as np
import torch
from transformers import BertConfig, BertModel

from twofold.clients import bert, minilm
from twofold.clients.graph import Array


def packaged() -> dict[str, Array]:
    """The tensors of the packaged MiniLM."""
    return minilm.read_safetensors(minilm.verified("model.safetensors", minilm.WEIGHTS_SHA256))


def trunk(tensors: Mapping[str, Array]) -> BertModel:
    """A model that begins with these tensors, without dropout; its words' vectors stay as they
    are."""
    config = BertConfig(
        hidden_size=bert.DIMENSION,
        num_hidden_layers=minilm.SIZES.layers,
        num_attention_heads=bert.HEADS,
        intermediate_size=bert.WIDE,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",  # twice as fast as torch's own on a CPU in bfloat16
    )
    model = BertModel(config, add_pooling_layer=False)
    kept = {
        name: torch.tensor(np.asarray(value, np.float32))
        for name, value in tensors.items()
        if not name.startswith("pooler") and not name.endswith("position_ids")
    }
    model.load_state_dict(kept, strict=False)
    model.embeddings.word_embeddings.weight.requires_grad_(False)
    return model
