"""A live backbone over any transformers model that reads an image and a question and writes an answer."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmedpo.core.answers import Answer
from mmedpo.core.images import ImageRef, hash_pixels
from mmedpo.models.adapters import BaseFingerprint
from mmedpo.registry.contracts.backbone import Encoding, Frame, LiveBackbone

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from mmedpo.core.records import Case


@dataclass(frozen=True)
class EncodedPrompt:
    """An image and a question as the model reads them, up to where the answer begins."""

    ids: Sequence[int]  # image placeholders expanded
    vision: Mapping[str, torch.Tensor]  # first dimension: one image, or its patches
    token_types: Sequence[int] | None = None  # for models that want them, see `LiveBackbone.types_key`


class TransformersBackbone(LiveBackbone):
    """Answer and encode with a transformers image-text-to-text model.

    `preprocess` does the part of the work that depends on the image alone, and its result is kept for recent
    images, because many questions share an image; `prompt` makes of that and a question what the model reads.

        live = TransformersBackbone(
            model, tokenizer,
            preprocess=lambda image: {"pixel_values": pixels_of(image)},     # an upright L or RGB image
            prompt=lambda vision, question: EncodedPrompt(ids_of(question), vision),
            end=tokenizer.eos_token_id,
            lora_targets=r".*language_model.*_proj", projector=r"model\\.multi_modal_projector",
        )
    """

    batch_size = 8  # cases that generate together
    cached_images = 16  # images whose `preprocess` is kept

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        preprocess: Callable[[Image], Any],
        prompt: Callable[[Any, str], EncodedPrompt],
        end: int,
        stop: Sequence[int] = (),
        lead: str = "",
        lora_targets: str,
        projector: str,
        processor: Any = None,
        types_key: str = "mm_token_type_ids",
        causal: bool = True,
        frame: Callable[[tuple[int, int]], Frame] | None = None,
    ) -> None:
        """Take a loaded model; `end` closes an answer, `stop` also ends generation, `lead` stands before an answer.

        `frame` is what `LiveBackbone.frame` says, for a `preprocess` that pads or crops.
        """
        self.model, self.tokenizer, self.processor = model.eval(), tokenizer, processor
        self.lora_targets, self.projector = lora_targets, projector
        self.types_key, self.causal = types_key, causal
        self.end, self.stop, self.lead = end, sorted({end, *stop}), lead
        self.base = BaseFingerprint.of(model)
        self._preprocess, self._prompt, self._frame = preprocess, prompt, frame
        self._inputs_of: OrderedDict[str, Any] = OrderedDict()

    def prompt(self, image: ImageRef, question: str) -> EncodedPrompt:
        """Return what the model reads before it answers; floating-point tensors have the model's dtype."""
        prompt = self._prompt(self._image_inputs(image), question)
        return EncodedPrompt(
            prompt.ids, {key: self._match_dtype(value) for key, value in prompt.vision.items()}, prompt.token_types
        )

    def encode(self, image: ImageRef, question: str, answer: str) -> Encoding:
        """Encode one side for training."""
        prompt = self.prompt(image, question)
        reply = [*tokenize_plain(self.tokenizer, self.lead + answer), self.end]
        types = None if prompt.token_types is None else [*prompt.token_types, *[0] * len(reply)]
        identity = image.sha256 or hash_pixels(image.load())
        return Encoding([*prompt.ids, *reply], len(prompt.ids), prompt.vision, identity, types)

    def frame(self, size: tuple[int, int]) -> Frame:
        """Return what the grid of an image's tokens covers."""
        return self._frame(size) if self._frame else super().frame(size)

    def collate(self, encodings: Sequence[Encoding]) -> dict[str, torch.Tensor]:
        """Concatenate along the first dimension; images of fewer or smaller tiles are filled up with zeros."""
        keys = encodings[0].vision
        return {key: _pad_and_concatenate([encoding.vision[key] for encoding in encodings]) for key in keys}

    def answer(
        self,
        cases: Sequence[Case],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[str]:
        """Answer each case's question about its image; see `LiveBackbone.answer`."""
        if temperature > 0 and (seeds is None or len(seeds) != len(cases)):
            raise ValueError("sampling needs one seed per case")
        answers: list[str] = []
        for start in range(0, len(cases), self.batch_size):
            part = slice(start, start + self.batch_size)
            noise = [] if temperature <= 0 or seeds is None else [SeededNoise(temperature, seeds[part])]
            answers += self._generate(cases[part], max_new_tokens, noise)
        return answers

    def _generate(self, cases: Sequence[Case], max_new_tokens: int, noise: list[SeededNoise]) -> list[str]:
        import torch

        inputs = self._collate_prompts([self.prompt(case.image, case.question) for case in cases])
        device = self.model.device
        # no_grad, not inference_mode: what a model keeps from here (rotary tables, say) must still serve training.
        with _eval_mode(self.model), torch.no_grad():
            out = self.model.generate(
                **{key: value.to(device) for key, value in inputs.items()},
                generation_config=self._generation_config(max_new_tokens),
                logits_processor=noise,
            )
        new_ids = out[:, inputs["input_ids"].shape[1] :]
        ended = torch.isin(new_ids, torch.tensor(self.stop, device=new_ids.device)).any(1).tolist()
        texts = self.tokenizer.batch_decode(new_ids, skip_special_tokens=True)
        return [Answer(text.strip(), cut=not done) for text, done in zip(texts, ended, strict=True)]

    def _generation_config(self, max_new_tokens: int) -> Any:
        """Decode with the bare distribution: a checkpoint's own penalties would not be those of its training."""
        from transformers import GenerationConfig

        return GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,  # sampling adds noise to the logits and takes the best, see SeededNoise
            num_beams=1,
            repetition_penalty=1.0,
            eos_token_id=self.stop,
            pad_token_id=self._pad_id,
        )

    def _collate_prompts(self, prompts: Sequence[EncodedPrompt]) -> dict[str, torch.Tensor]:
        """Pad on the left, so that every answer begins at the same place."""
        import torch

        width = max(len(prompt.ids) for prompt in prompts)

        def padded(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
            return torch.tensor([[fill] * (width - len(row)) + list(row) for row in rows])

        inputs = self.collate([Encoding(prompt.ids, len(prompt.ids), prompt.vision) for prompt in prompts])
        inputs["input_ids"] = padded([prompt.ids for prompt in prompts], self._pad_id)
        inputs["attention_mask"] = padded([[1] * len(prompt.ids) for prompt in prompts], 0)
        types = [prompt.token_types for prompt in prompts if prompt.token_types is not None]
        if types:
            inputs[self.types_key] = padded(types, 0)
        return inputs

    @property
    def _pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return self.end if pad is None else pad

    def _image_inputs(self, image: ImageRef) -> Any:
        """Return what `preprocess` makes of an image, from memory where it was made a short while ago."""
        if not image.sha256:
            return self._preprocess(image.load())
        if image.sha256 not in self._inputs_of:
            self._inputs_of[image.sha256] = self._preprocess(image.load())
            while len(self._inputs_of) > self.cached_images:
                self._inputs_of.popitem(last=False)
        self._inputs_of.move_to_end(image.sha256)
        return self._inputs_of[image.sha256]

    def _match_dtype(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.model.dtype) if tensor.is_floating_point() else tensor


def tokenize_plain(tokenizer: Any, text: str) -> list[int]:
    """Tokenize what a person wrote: a "</s>" or "<image>" in it is text like any other."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids


@contextmanager
def release_backbone(live: TransformersBackbone) -> Iterator[TransformersBackbone]:
    """Yield a live backbone and let go of its model afterwards, so that the next stage has the memory."""
    import torch

    try:
        yield live
    finally:
        live.model = None
        live._inputs_of.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class SeededNoise:
    """Add Gumbel noise to a row's logits, so that the best of them is a sample that the row's own seed decides."""

    def __init__(self, temperature: float, seeds: Sequence[int]) -> None:
        import torch

        self.temperature = temperature
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Take and return scores (cases, vocabulary)."""
        import torch

        # On the CPU and in float64, so that a seed means the same noise on every device and -log(0) cannot happen.
        rows = [torch.empty(scores.shape[1], dtype=torch.float64) for _ in self.generators]
        waits = torch.stack([row.exponential_(generator=g) for row, g in zip(rows, self.generators, strict=True)])
        gumbel = -waits.log().float().to(scores.device)  # (cases, vocabulary)
        return scores.float() / self.temperature + gumbel


def _pad_and_concatenate(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Concatenate (n, ...) tensors; those smaller in another dimension get zeros after their end."""
    import torch

    sizes = [max(size) for size in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
    padded = []
    for tensor in tensors:
        gaps = [want - have for want, have in zip(sizes, tensor.shape[1:], strict=True)]
        padded.append(torch.nn.functional.pad(tensor, [n for gap in reversed(gaps) for n in (0, gap)]))
    return torch.cat(padded)


@contextmanager
def _eval_mode(model: Any) -> Iterator[None]:
    """Put a model into eval mode and back; generating with dropout is never meant."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
