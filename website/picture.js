// A picture file as pixels, upright, opaque, at most `longest` on a side (`reading/picture.py`).

// {picture: {data, width, height}, width, height}: three bytes a pixel, and how large it was.
export async function opened(blob, longest) {
  const greymap = await asGreymap(blob);
  if (greymap) return { picture: greymap, width: greymap.width, height: greymap.height };
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { premultiplyAlpha: "none" });
  } catch {
    throw new Error("this browser cannot open it as a picture: save it as a JPEG or PNG");
  }
  const { width, height } = bitmap;
  const scale = Math.min(1, longest / Math.max(width, height));
  if (scale < 1) {
    const [resizeWidth, resizeHeight] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
    const small = await createImageBitmap(bitmap, { resizeWidth, resizeHeight, resizeQuality: "high", premultiplyAlpha: "none" });
    bitmap.close();
    bitmap = small;
  }
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { picture: opaque(context.getImageData(0, 0, bitmap.width || context.canvas.width, bitmap.height || context.canvas.height)), width, height };
}

// The page's own sheet comes as PGM, which browsers do not open.
async function asGreymap(blob) {
  const head = /^P5 (\d+) (\d+) 255\n/.exec(await blob.slice(0, 30).text());
  if (!head) return null;
  const grey = new Uint8Array(await blob.arrayBuffer(), head[0].length);
  const data = new Uint8Array(3 * grey.length);
  grey.forEach((value, n) => data.fill(value, 3 * n, 3 * n + 3));
  return { data, width: Number(head[1]), height: Number(head[2]) };
}

// What is transparent becomes the ground of what is not, or a colour that it stands out from.
function opaque({ data: rgba, width, height }) {
  const data = new Uint8Array(3 * width * height);
  const ground = groundOf(rgba);
  for (let n = 0; n < width * height; n++) {
    const share = rgba[4 * n + 3] / 255;
    for (let c = 0; c < 3; c++) data[3 * n + c] = Math.round(rgba[4 * n + c] * share + ground[c] * (1 - share));
  }
  return { data, width, height };
}

function groundOf(rgba) {
  let most = 0;
  for (let n = 3; n < rgba.length; n += 4) most = Math.max(most, rgba[n]);
  const solid = [];
  for (let n = 0; n < rgba.length; n += 4) if (rgba[n + 3] >= most / 2) solid.push(n);
  if (!solid.length || solid.length === rgba.length / 4) return [255, 255, 255];
  const ordered = (value) => Float32Array.from(solid, value).sort();
  const brightness = ordered((n) => (rgba[n] + rgba[n + 1] + rgba[n + 2]) / 3);
  const [low, middle, high] = [0.02, 0.5, 0.98].map((share) => brightness[Math.round(share * (brightness.length - 1))]);
  // Ink and ground: most of what is opaque is the ground.
  if (high - low > 100) return [0, 1, 2].map((c) => ordered((n) => rgba[n + c])[solid.length >> 1]);
  return Array(3).fill(middle > 127.5 ? 0 : 255);
}
