"""The localizer that is a network of one's own, in a MONAI bundle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from pydantic import Field

from mmedpo import DataError, ExistingFolder, Localizer, Setting
from mmedpo_plugins.localizers.monai_detector.bundle_code import explain_unread_code


class MonaiBundle(Localizer):
    """Find lesions with a network of one's own, in a MONAI bundle for detection or segmentation.

        localize: {use: monai-bundle, root: bundles/lung_nodules, labels: [nodule], size: 512}

    The folder holds `configs/inference.json` (or .yaml) and `models/model.pt`. From the configuration come
    `detector` with `detector_ops`, or else `network_def` (or `network`); `preprocessing`, less what loads files, if
    it says so; `inferer` if there is one. The network gets grey films (1, height, width); its boxes or masks are scaled
    back to the image. **A bundle's configuration is code**: it is run only where `code` says that it was read.
    """

    use: ClassVar[str] = "monai-bundle"

    root: ExistingFolder
    """The bundle's folder."""
    code: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """The SHA-256 of all files in the folder but those in `models`; `mmedpo check` says what it is. It means that you
    have read them: MONAI runs what they say."""
    labels: tuple[str, ...] = ()
    """The findings in the order of the network's classes or channels, background left out; by default the bundle's."""
    size: int | None = Field(default=None, ge=16)
    """The longer side, in pixels, at which the network reads films; by default as they are."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Leave out boxes, and pixels of masks, of a lower probability."""
    most: int = Field(default=5, ge=1)
    """Regions an image at most, the surest."""
    smallest: float = Field(default=0.0005, ge=0, le=1)
    """Leave out patches of a mask that cover a smaller share of the image."""

    def lacking(self) -> Iterator[str]:
        """Yield that the code was not read, or has changed since."""
        if self.root.is_dir() and (unread := explain_unread_code(self.root, self.code)):
            yield unread

    def open(self, setting: Setting) -> AbstractContextManager[Any]:
        """Build the network and load its weights. Raises DataError."""
        from contextlib import nullcontext

        from mmedpo_plugins.localizers.monai_detector.live_bundle import BundleOptions, open_bundle

        if unread := explain_unread_code(self.root, self.code):
            raise DataError(unread)
        options = BundleOptions(self.root, self.labels, self.size, self.threshold, self.most, self.smallest)
        return nullcontext(open_bundle(options, setting))
