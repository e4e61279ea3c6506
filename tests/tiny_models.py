"""Tiny language models with random weights, written as Hugging Face directories: no download, milliseconds to run."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, PreTrainedTokenizerFast

SENTENCE = "red green blue apple pear plum tea jar box large small of the with and"
WORDS = SENTENCE.split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
torch.set_num_threads(1)  # models this small only lose by more

HIDDEN = 16
POSITIONS = 24


def _tokenizer(specials: list[str], wrap: bool) -> Tokenizer:
    vocabulary = {word: index for index, word in enumerate(specials + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if wrap:
        ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
        tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer


def tiny_bert(directory: Path, seed: int = 0) -> Path:
    """A BERT of two layers, with a padding token."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=POSITIONS,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(directory)
    PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(SPECIAL, wrap=True),
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
    ).save_pretrained(directory)  # fmt: skip
    return directory


def tiny_gpt2(directory: Path, seed: int = 0) -> Path:
    """A GPT-2 of two layers, without a padding token."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=1 + len(WORDS), n_embd=HIDDEN, n_layer=2, n_head=2, n_positions=POSITIONS, initializer_range=0.5,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    GPT2Model(config).save_pretrained(directory)
    PreTrainedTokenizerFast(tokenizer_object=_tokenizer(["[UNK]"], wrap=False), unk_token="[UNK]").save_pretrained(directory)
    return directory
