"""A live backbone over any transformers model that reads an image and a question and writes an answer."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mmedpo.core.answers import Answer
from mmedpo.core.images import ImageRef, hash_pixels, order_by_images
from mmedpo.core.notes import print_note
from mmedpo.errors import DataError
from mmedpo.models.adapters import BaseFingerprint, unwrap_model
from mmedpo.models.prompts import EncodedPrompt, pad_token, tokenize_plain
from mmedpo.registry.contracts.backbone import Encoding, LiveBackbone, TokenPlaces

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from mmedpo.core.records import Case
    from mmedpo.models.answering.noise import SeededNoise
    from mmedpo.models.attention.token_tiles import TokenTile
    from mmedpo.models.trees.inputs import ImageSequence


class TransformersBackbone(LiveBackbone):
    """Answer and encode with a transformers image-text-to-text model.

    `preprocess` does the part of the work that depends on one image alone, and its result is kept for recent
    images, because many questions share an image; `prompt` makes of those of a case's images and its question what the
    model reads.

        live = TransformersBackbone(
            model, tokenizer,
            preprocess=lambda image: {"pixel_values": pixels_of(image)},     # an upright L or RGB image
            prompt=lambda images, question: EncodedPrompt(ids_of(question), images),
            end=tokenizer.eos_token_id,
            lora_targets=r".*language_model.*_proj", projector=r"model\\.multi_modal_projector",
        )
    """

    batch_size = 8  # cases that `generate` answers together, where the model reads no token trees
    batch_tokens = 0  # of prompts and answers that are computed together; 0: as many as suit the device
    cached_images = 16  # images whose `preprocess` is kept
    cached_sizes = 64  # sizes of images of which is kept what the tokens see

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        preprocess: Callable[[Image], Any],
        prompt: Callable[[Sequence[Any], str], EncodedPrompt],
        end: int,
        stop: Sequence[int] = (),
        lead: str = "",
        lora_targets: str,
        projector: str,
        processor: Any = None,
        types_key: str = "mm_token_type_ids",
        causal: bool = True,
        tiles: Callable[[Mapping[str, torch.Tensor], int], Sequence[TokenTile]] | None = None,
        several_images: bool = False,
    ) -> None:
        """Take a loaded model; `end` closes an answer, `stop` also ends generation, `lead` stands before an answer.

        `tiles` says of an image's vision tensors which of so many tokens see which pixels, `square_tiles` for one;
        without it nothing maps the model's attention. `several_images` says that `prompt` takes more than one; what it
        makes of each does not depend on the others.
        """
        self.model, self.tokenizer, self.processor = model.eval(), tokenizer, processor
        self.lora_targets, self.projector = lora_targets, projector
        self.types_key, self.causal, self.several_images = types_key, causal, several_images
        self.end, self.stop, self.lead = end, sorted({end, *stop}), lead
        self.base = BaseFingerprint.of(model)
        self._preprocess, self._prompt, self._tiles = preprocess, prompt, tiles
        self._inputs_of: OrderedDict[str, Any] = OrderedDict()
        self._places_of = lru_cache(self.cached_sizes)(self._find_places)
        self._noted = False  # why it answers on no token trees

    def prompt(self, images: Sequence[ImageRef], question: str) -> EncodedPrompt:
        """Return what the model reads before it answers; floating-point tensors have the model's dtype.

        Raises DataError for several images where the model is shown one.
        """
        if len(images) > 1 and not self.several_images:
            name = type(unwrap_model(self.model)).__name__
            raise DataError(f"{name}: is shown one image at a time, and here are {len(images)}")
        prompt = self._prompt([self._image_inputs(image) for image in images], question)
        vision = [{key: self._match_dtype(value) for key, value in tensors.items()} for tensors in prompt.vision]
        return EncodedPrompt(prompt.ids, vision, prompt.token_types)

    def encode(self, images: Sequence[ImageRef], question: str, answer: str) -> Encoding:
        """Encode one side for training."""
        prompt = self.prompt(images, question)
        reply = [*tokenize_plain(self.tokenizer, self.lead + answer), self.end]
        types = None if prompt.token_types is None else [*prompt.token_types, *[0] * len(reply)]
        return Encoding([*prompt.ids, *reply], len(prompt.ids), prompt.vision, identify_images(images), types)

    def token_places(self, size: tuple[int, int]) -> TokenPlaces | None:
        """Return what the tokens of an image see of it, found out with films that are marked, where `tiles` is given.

        Raises DataError for an image that it cannot be found out of.
        """
        return self._places_of(size) if self._tiles else None

    def _find_places(self, size: tuple[int, int]) -> TokenPlaces:
        from mmedpo.models.attention.image_tokens import find_image_tokens
        from mmedpo.models.attention.marked_films import find_places

        base = unwrap_model(self.model)

        def show(film: Image) -> tuple[int, Sequence[TokenTile]]:
            assert self._tiles
            prompt = self._prompt([self._preprocess(film)], "?")
            count = len(find_image_tokens(base, prompt.ids))
            return count, self._tiles(prompt.vision[0], count)

        try:
            return find_places(show, size)
        except ValueError as error:
            told = f"{type(base).__name__}: what its tokens see of an image of {size[0]} x {size[1]} is not known"
            raise DataError(f"{told} ({error})") from error

    def collate(self, vision: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Concatenate along the first dimension; images of fewer or smaller tiles are filled up with zeros."""
        return {key: _pad_and_concatenate([tensors[key] for tensors in vision]) for key in vision[0]}

    def answer(
        self,
        cases: Sequence[Case],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[str]:
        """Answer each case's question about its images; see `LiveBackbone.answer`.

        The questions about the same images grow from them as one token tree. A model that reads no trees answers
        `batch_size` at a time, and a line says why.
        """
        import torch

        from mmedpo.models.answering.noise import SeededNoise

        if temperature > 0 and (seeds is None or len(seeds) != len(cases)):
            raise ValueError("sampling needs one seed per case")
        if not cases:
            return []
        noise = SeededNoise(temperature, seeds) if temperature > 0 and seeds is not None else None
        answer = self._answer_by_rows if self._notes_no_trees(cases, max_new_tokens) else self._answer_on_trees
        # no_grad, not inference_mode: what a model keeps from here (rotary tables, say) must still serve training.
        with _eval_mode(self.model), torch.no_grad():
            tokens = answer(cases, max_new_tokens, noise)
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        ended = [bool(said) and said[-1] in self.stop for said in tokens]
        return [Answer(text.strip(), cut=not done) for text, done in zip(texts, ended, strict=True)]

    def _notes_no_trees(self, cases: Sequence[Case], max_new_tokens: int) -> bool:
        """Tell whether the model does not take token trees, and say so once."""
        from mmedpo.models.trees.tree_attention import sliding_window, why_no_trees

        base = unwrap_model(self.model)
        longest = max_new_tokens
        if sliding_window(base.config.get_text_config()):
            longest += max((len(self.prompt(case.images, case.question).ids) for case in cases), default=0)
        why = why_no_trees(base, self.causal, longest)
        if why and not self._noted:
            self._noted = True
            print_note(f"answering {self.batch_size} at a time instead of on token trees: {type(base).__name__}: {why}")
        return bool(why)

    def _answer_on_trees(self, cases: Sequence[Case], longest: int, noise: SeededNoise | None) -> list[list[int]]:
        from mmedpo.models.answering.batches import AskedPrompt, split_batches, token_budget
        from mmedpo.models.answering.decoding import TreeModel, decode_batch
        from mmedpo.models.trees.tree_attention import tree_attention

        images = [identify_images(case.images) for case in cases]
        prompt = lru_cache(1)(self._prompt_sequence)  # samples of a question follow one another
        asked = (
            AskedPrompt(index, prompt(images[index], cases[index].images, cases[index].question))
            for index in order_by_images(images)
        )
        model = TreeModel.of(self, self.end)
        said: dict[int, list[int]] = {}
        with tree_attention(model.base):
            for batch in split_batches(asked, longest, self.batch_tokens or token_budget(model.base)):
                said |= decode_batch(model, batch, longest, self.stop, noise)
        return [said[index] for index in range(len(cases))]

    def _prompt_sequence(self, names: tuple[str, ...], images: tuple[ImageRef, ...], question: str) -> ImageSequence:
        from mmedpo.models.trees.inputs import ImageSequence

        prompt = self.prompt(images, question)
        return ImageSequence.of(names, prompt.ids, prompt.token_types, prompt.vision)

    def _answer_by_rows(self, cases: Sequence[Case], longest: int, noise: SeededNoise | None) -> list[list[int]]:
        from mmedpo.models.answering.generate import generate_rows

        pad, said = pad_token(self.tokenizer, self.end), [[0]] * len(cases)
        order = sorted(range(len(cases)), key=lambda index: cases[index].kind)  # a batch takes as long as its longest
        for start in range(0, len(cases), self.batch_size):
            part = order[start : start + self.batch_size]
            prompts = [self.prompt(cases[index].images, cases[index].question) for index in part]
            vision = self.collate([tensors for prompt in prompts for tensors in prompt.vision])
            some = noise and noise.of(part)
            tokens = generate_rows(self.model, prompts, vision, self.types_key, pad, longest, self.stop, some)
            for index, answer in zip(part, tokens, strict=True):
                said[index] = answer
        return said

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


def identify_images(images: Sequence[ImageRef]) -> tuple[str, ...]:
    """Return what equal lists of images have in common and others have not."""
    return tuple(image.sha256 or hash_pixels(image.load()) for image in images)


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
