"""A small RetinaNet on MONAI's parts that needs no torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
from monai.apps.detection.networks.retinanet_network import RetinaNet
from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

STRIDE = 32  # of the coarsest level; a film's sides are padded to multiples of it
ANCHORS = (
    (12.0, 12.0),
    (9.0, 18.0),
    (18.0, 9.0),
)  # height and width in pixels on the finest level, twice that on the next


@dataclass(frozen=True)
class NetworkShape:
    """What must be known to build the network again; a checkpoint carries it."""

    labels: tuple[str, ...]
    size: int  # the longer side, in pixels, at which films are read
    window: int | None = None  # the side of the square that the network sees at once; None: the whole film
    width: int = 16  # channels of the first block; 16, 32, 64, 128 with the default


class ResNetPyramid(nn.Module):
    """MONAI's ResNet and feature pyramid: levels at strides 4, 8, 16 and 32."""

    def __init__(self, width: int) -> None:
        """Make it for films of one channel."""
        super().__init__()
        widths = [width * 2**level for level in range(4)]
        self.body = ResNet(
            "basic", [1, 1, 1, 1], widths, spatial_dims=2, n_input_channels=1, conv1_t_stride=2, no_max_pool=True
        )
        del self.body.fc  # classifies whole images
        self.out_channels = widths[1]
        self.pyramid = FeaturePyramidNetwork(2, widths[1:], self.out_channels, LastLevelMaxPool(2))

    def forward(self, films: Tensor) -> list[Tensor]:
        """Return the feature maps of films (n, 1, height, width), finest first, n x channels x height x width each."""
        x = self.body.layer1(self.body.act(self.body.bn1(self.body.conv1(films))))
        levels = {}
        for name in ("layer2", "layer3", "layer4"):
            x = levels[name] = getattr(self.body, name)(x)
        return list(self.pyramid(levels).values())


class LesionDetector(RetinaNetDetector):
    """MONAI's RetinaNet detector; trains without torchvision, which MONAI 1.6 asks for even where it is not used."""

    def compute_anchor_matched_idxs(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]], num_anchor_locs_per_level: Sequence[int]
    ) -> list[Tensor]:
        """Match each film's anchors with its boxes by ATSS (arXiv 1912.02424); -1 stands for background."""
        matched = []
        for anchor, target in zip(anchors, targets, strict=True):
            boxes = target[self.target_box_key].to(anchor.device)
            if not len(boxes):
                matched.append(torch.full((len(anchor),), -1, dtype=torch.int64, device=anchor.device))
                continue
            matcher: Any = self.proposal_matcher
            matched.append(matcher(boxes, anchor, num_anchor_locs_per_level, self.num_anchors_per_loc)[1])
        return matched


def build_detector(shape: NetworkShape, device: str = "cpu") -> LesionDetector:
    """Build the detector, untrained, ready to train and to detect."""
    network = RetinaNet(2, len(shape.labels), len(ANCHORS), ResNetPyramid(shape.width), size_divisible=STRIDE)
    detector = LesionDetector(network, AnchorGeneratorWithAnchorShape((1, 2, 4, 8), ANCHORS)).to(device)
    detector.set_atss_matcher(num_candidates=4, center_in_gt=False)
    detector.set_hard_negative_sampler(batch_size_per_image=64, positive_fraction=0.25, min_neg=1, pool_size=20)
    detector.set_target_keys(box_key="box", label_key="label")
    detector.set_box_selector_parameters(
        score_thresh=0.02, topk_candidates_per_level=100, nms_thresh=0.3, detections_per_img=30
    )
    if shape.window:
        detector.set_sliding_window_inferer((shape.window, shape.window), sw_batch_size=4, overlap=0.25)
    return detector
