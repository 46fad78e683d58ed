"""Which pairs are trained on, and which are measured: families stay on one side."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from losses import make_loss, train_options
from tiny_llava import make_backbone, make_image, make_pairs

from mmedpo.core.images import ImageRef
from mmedpo.train.batches.encoding import PixelCache, encode_pair
from mmedpo.train.batches.held_out import hold_out
from mmedpo.train.batches.selection import encode_pairs


def test_a_loss_of_pairs_that_are_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    pairs, backbone = make_pairs(4, same_image=True), make_backbone()
    options = train_options(loss=[make_loss("sigmoid"), make_loss("anchor", pairs="image")])
    encode_pairs(pairs, backbone, PixelCache(backbone), options, lambda event: None, [{}] * 4)
    said = "mmedpo: the loss 'anchor' adds nothing: it is of image pairs, and none is trained on\n"
    assert capsys.readouterr().err == said


def test_a_pair_is_of_the_family_of_an_image_that_a_loss_borrowed_for_it() -> None:
    pairs, backbone = make_pairs(6), make_backbone()
    blank = replace(pairs[0].pair.chosen, more_images=(), image=ImageRef.drawn(make_image(77)))  # of no pair
    further = [{"0.blank": blank} for _ in pairs]
    further[0]["0.borrowed"] = pairs[5].pair.chosen
    encoded, _ = encode_pairs(pairs, backbone, PixelCache(backbone), train_options(), lambda event: None, further)
    assert encoded[0].family & encoded[5].family == {pairs[5].pair.chosen.image.sha256}
    assert not encoded[2].family & encoded[4].family


def test_held_out_pairs_share_no_image_with_trained_ones() -> None:
    backbone = make_backbone()
    encoded = [encode_pair(weighted, backbone, PixelCache(backbone)) for weighted in make_pairs(60)]
    kept, held_out = hold_out(encoded, 0.2, 0)
    assert 6 <= len(held_out) <= 18
    assert len(kept) + len(held_out) == 60
    images = [{image for pair in part for image in pair.family} for part in (kept, held_out)]
    assert not images[0] & images[1]
    assert hold_out(encoded, 0.2, 0) == (kept, held_out)
    assert hold_out(encoded, 0.2, 1) != (kept, held_out)
    assert hold_out(encoded, 0.0, 0)[1] == []


def test_held_out_pairs_share_no_patient_either() -> None:
    backbone = make_backbone()
    pairs = [
        replace(w, pair=replace(w.pair, case=replace(w.pair.case, group=f"patient {i // 10}")))
        for i, w in enumerate(make_pairs(60))
    ]
    kept, held_out = hold_out([encode_pair(weighted, backbone, PixelCache(backbone)) for weighted in pairs], 0.3, 0)
    assert len(held_out) == 20
    assert not {pair.family for pair in kept} & {pair.family for pair in held_out}


def test_held_out_pairs_share_no_image_whether_it_is_the_first_or_another() -> None:
    backbone = make_backbone()
    pairs = make_pairs(60, several=True)
    chain = [encode_pair(weighted, backbone, PixelCache(backbone)) for weighted in pairs]
    kept, held_out = hold_out(chain[:20] + chain[30:50], 0.5, 0)  # each image stands beside the next one's
    assert held_out
    assert not {image for pair in kept for image in pair.family} & {i for pair in held_out for i in pair.family}


def test_images_beyond_the_memory_limit_are_made_again() -> None:
    backbone = make_backbone()
    tight = PixelCache(backbone, limit=1)
    sides = [encode_pair(weighted, backbone, tight).chosen for weighted in make_pairs(6, several=True)]
    roomy = PixelCache(backbone)
    for side in sides:
        for one, other in zip(tight.of(side), roomy.of(side), strict=True):
            assert torch.equal(one["pixel_values"], other["pixel_values"])
    assert len(tight._held) == 1
