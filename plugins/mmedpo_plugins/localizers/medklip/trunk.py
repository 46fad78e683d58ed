"""A ResNet-50 up to its third stage (He et al., 2016), the stride of a block in its 3 x 3 convolution."""

from __future__ import annotations

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Three convolutions beside a shortcut; four times as many channels come out as are within."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        """Take the channels that come in, those within, and by how much the sides shrink."""
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.downsample: nn.Module = nn.Identity()
        if channels != 4 * width:
            shrunk = nn.Conv2d(channels, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(shrunk, nn.BatchNorm2d(4 * width))

    def forward(self, features: Tensor) -> Tensor:
        """Return the features of the next block."""
        inner = self.bn1(self.conv1(features)).relu()
        inner = self.bn2(self.conv2(inner)).relu()
        total: Tensor = self.bn3(self.conv3(inner)) + self.downsample(features)
        return total.relu()


def build_trunk() -> nn.Sequential:
    """Return what makes (batch, 1024, height/16, width/16) of films (batch, 3, height, width)."""
    stem = (nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(*stem, _build_stage(64, 64, 3, 1), _build_stage(256, 128, 4, 2), _build_stage(512, 256, 6, 2))


def _build_stage(channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    later = (ResidualBlock(4 * width, width, 1) for _ in range(blocks - 1))
    return nn.Sequential(ResidualBlock(channels, width, stride), *later)
