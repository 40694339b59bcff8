"""A copy of a picture with a box around each digit, what was read, and how surely."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from .picture import Source, open_picture
from .reader import Reading

# Blue and vermilion, as in the figures; what is not sure has a question mark, too.
SURE, DOUBTFUL = (0, 114, 178), (213, 94, 0)


def annotated(source: Source, reading: Reading) -> Image.Image:
    """The picture, upright and at most 1,600 pixels on a side, with what was read drawn in.

    Raises:
        PictureError: it cannot be opened or is not a picture.
    """
    picture = open_picture(source)
    image = Image.fromarray(picture.pixels)
    # A tiny picture is enlarged, or there would be no room for a word.
    zoom = max(1, round(320 / max(image.size)))
    image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    scale = zoom / picture.reduction
    unit = max(12.0, max(image.size) / 45)
    font = ImageFont.load_default(unit)
    for digit in reading.digits:
        x0, y0, x1, y1 = (side * scale for side in digit.box)
        colour = SURE if digit.sure else DOUBTFUL
        draw.rectangle(
            (x0 - 2, y0 - 2, x1 + 2, y1 + 2), outline=colour, width=max(2, int(unit / 8))
        )
        text = f"{digit.digit}{'' if digit.sure else '?'} {int(100 * digit.confidence)}%"
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        # Above the box where there is room, otherwise inside.
        y = y0 - (bottom - top) - unit / 2
        place = (min(max(x0, 0), max(0, image.width - (right - left))), y if y > 0 else y0 + 2)
        draw.rectangle(draw.textbbox(place, text, font=font), fill="white")
        draw.text(place, text, fill=colour, font=font)
    return image
