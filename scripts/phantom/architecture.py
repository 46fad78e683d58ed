"""The phantom's model before it has learned anything, and its words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mmedpo_plugins.phantom.anatomy import SIZE
from mmedpo_plugins.phantom.film import PhantomVersion
from mmedpo_plugins.phantom.findings import LABELS, PhantomFinding
from mmedpo_plugins.phantom.language import CLOSED, NO, OPEN, REPORT, YES, ask_presence, ask_trait, aspects, report
from mmedpo_plugins.phantom.model import TEMPLATE
from mmedpo_plugins.phantom.writers import WRITERS
from sizes import BaseSize

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "[INST]", "[/INST]"]


def make_tokenizer(version: PhantomVersion = "clear") -> Any:
    """Build the word-level tokenizer; words it does not know become <unk>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    listed = [*SPECIAL, *(word if word in ".,?" else "▁" + word for word in words(version))]
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(listed)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(prepend_scheme="always", split=True),
            pre_tokenizers.Punctuation(behavior="isolated"),
        ]
    )
    core.decoder = decoders.Metaspace(prepend_scheme="always", split=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
        extra_special_tokens=["<image>", "[INST]", "[/INST]"], image_token="<image>",
        padding_side="left", clean_up_tokenization_spaces=False, chat_template=TEMPLATE, model_max_length=512,
    )  # fmt: skip


def make_model(tokenizer: Any, size: BaseSize) -> Any:
    """Build the untrained model."""
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, MistralConfig

    tower = CLIPVisionConfig(
        hidden_size=size.width, intermediate_size=4 * size.width, num_hidden_layers=size.depth,
        num_attention_heads=size.heads, image_size=SIZE, patch_size=size.patch, projection_dim=size.width,
    )  # fmt: skip
    text = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=size.width, intermediate_size=size.inner, num_hidden_layers=size.depth,
        num_attention_heads=size.heads, num_key_value_heads=size.heads, head_dim=size.width // size.heads,
        max_position_embeddings=512, sliding_window=None, tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=tower, text_config=text, image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1, vision_feature_select_strategy="default", image_seq_length=(SIZE // size.patch) ** 2,
        tie_word_embeddings=False,
    )  # fmt: skip
    return LlavaForConditionalGeneration(config)


def words(version: PhantomVersion) -> list[str]:
    """Return every word and mark that a question or an answer can hold, capital and small, in a fixed order."""
    writers = WRITERS if version == "hard" else (report,)
    texts = [*REPORT, YES, NO, "Left Right left right upper lower", *(write([]) for write in writers)]
    for label in LABELS:
        for size in ("small", "large"):
            finding = PhantomFinding(label, "left", "upper", size)
            asked = [ask_trait(finding, aspect, form) for aspect in aspects(finding) for form in OPEN[aspect]]
            asked += [ask_presence(label, True, form) for form in CLOSED]
            texts += [text for one in asked for text in (one.question, one.answer)]
            texts += [write([replace(finding, side=side)]) for write in writers for side in ("left", "right")]
    found = {word for text in texts for word in _split(text)}
    return sorted(found | {word.lower() for word in found} | {",", "and"})


def _split(text: str) -> list[str]:
    return text.replace("?", " ?").replace(".", " .").replace(",", " ,").split()
