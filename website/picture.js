// Pictures as pixels, upright, opaque, at most WORKING_SIZE on a side (`reading/picture.py`).

import { CONTRAST, WORKING_SIZE } from "./constants.js";

// Of a file, or of the page's sheet as ImageData: {picture: {data, width, height}, width, height}, with
// three bytes a pixel, and how large it was.
export async function opened(source) {
  const bitmap = await createImageBitmap(source).catch(() => {
    throw new Error("this browser cannot open it as a picture: save it as a JPEG or PNG");
  });
  const { width, height } = bitmap;
  const scale = Math.min(1, WORKING_SIZE / Math.max(width, height));
  const [wide, high] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  const context = new OffscreenCanvas(wide, high).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, wide, high);
  bitmap.close();
  const pixels = () => context.getImageData(0, 0, wide, high).data;
  if (pixels().some((value, n) => n % 4 === 3 && value < 255)) {
    context.fillStyle = groundOf(pixels());
    context.globalCompositeOperation = "destination-over";
    context.fillRect(0, 0, wide, high);
  }
  const [rgba, data] = [pixels(), new Uint8Array(3 * wide * high)];
  for (let n = 0; n < data.length; n++) data[n] = rgba[n + Math.floor(n / 3)];
  return { picture: { data, width: wide, height: high }, width, height };
}

// Without colours: a byte a pixel.
export function greyOf({ data, width, height }) {
  const grey = new Uint8Array(width * height).map((_, n) => luminance(data, 3 * n));
  return { data: grey, width, height };
}

export const luminance = (data, n) => (9798 * data[n] + 19235 * data[n + 1] + 3735 * data[n + 2] + 16384) >> 15;

// Where it is transparent: the ground of what is not, or a colour that it stands out from.
function groundOf(rgba) {
  const numbers = Array.from({ length: rgba.length / 4 }, (_, n) => 4 * n);
  const most = numbers.reduce((one, n) => Math.max(one, rgba[n + 3]), 0);
  const solid = numbers.filter((n) => rgba[n + 3] >= most / 2);
  const at = (share, value) => Float32Array.from(solid, value).sort()[Math.round(share * (solid.length - 1))];
  const brightness = (n) => (rgba[n] + rgba[n + 1] + rgba[n + 2]) / 3;
  // Ink and ground: most of what is opaque is the ground.
  const ground = [0, 1, 2].map((colour) => at(0.5, (n) => rgba[n + colour]));
  if (at(0.98, brightness) - at(0.02, brightness) > CONTRAST) return `rgb(${ground})`;
  return at(0.5, brightness) > 127.5 ? "black" : "white";
}
