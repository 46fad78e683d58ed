"""Ways to take the lesion away without noise: filled from its surroundings, blurred, blackened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from mmedpo_plugins.dispreferences.lesion_noise.image_change import LesionChange

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmedpo_plugins.noise.diffusion import Floats


class LesionInpainting(LesionChange):
    """Replace the lesion by its surroundings, so that the finding is gone and nothing draws the eye to where it was.

        disprefer:
          - {use: inpaint}

    What is inside the regions is filled smoothly from their border and gets the grain of what is near. It is no
    anatomy: ribs and vessels inside a large region go with the lesion.
    """

    use: ClassVar[str] = "inpaint"

    edge: Literal["hard"] = "hard"
    """The filling joins its border by itself; a soft edge would leave the lesion's rim."""

    def change(self, image: Image, mask: Floats, seed: int) -> Image:
        """Return the image, filled inside the mask."""
        from mmedpo_plugins.dispreferences.lesion_noise.fill import inpaint

        return inpaint(image, mask, seed)


class LesionBlur(LesionChange):
    """Blur the lesion.

    disprefer:
      - {use: blur, sigma: 0.05}
    """

    use: ClassVar[str] = "blur"

    sigma: float = Field(default=0.05, gt=0, le=1)
    """The deviation of the Gaussian, as a share of the image's longer side."""

    def change(self, image: Image, mask: Floats, seed: int) -> Image:
        """Return the image, blurred inside the mask."""
        from mmedpo_plugins.dispreferences.lesion_noise.fill import blur

        return blur(image, mask, self.sigma * max(image.size))

    def facts(self) -> dict[str, Any]:
        """Return the deviation."""
        return {"sigma": self.sigma}


class LesionBlackout(LesionChange):
    """Blacken the lesion, as the paper's published code does in effect.

    disprefer:
      - {use: blackout}
    """

    use: ClassVar[str] = "blackout"

    def change(self, image: Image, mask: Floats, seed: int) -> Image:
        """Return the image, black inside the mask."""
        from mmedpo_plugins.dispreferences.lesion_noise.fill import blackout

        return blackout(image, mask)
