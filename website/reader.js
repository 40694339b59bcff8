// Reads pictures as the package's Python does: with the same ONNX graphs, and around them what
// `reading/detection.py`, `reader.py` and `mnist_frame.py` do.

// Pictures are {data, width, height}, with three bytes a pixel. A place that was looked at is {x, y,
// size, proposed, score, logits, box, next, ink, frame}, in pixels; `next` is the place of its box.

import { by, highest, mean, median, softmax, sum } from "./arithmetic.js";
import {
  ANSWER, BATCH, BOX, FEW_DIGITS, FRAME_SURE_ABOVE, GROUND, LEVEL, MOVED, NOTHING, POSSIBLE, PRESENCE, READ, SAME,
  SURE_ABOVE, WORKING_SIZE,
} from "./constants.js";
import { Tensor } from "./ort.wasm.bundle.min.mjs";
import { inNumbers, readingOrder } from "./reading_order.js";
import { findSigns } from "./separators.js";

const EPSILON = 2 ** -23;
export const SIDE = 28;
export const CROP = 2 * SIDE;
const CROWDED = "more than 1,000 places look like digits";

export const networks = {}; // detect, look, classifier, once they are loaded

// {rows, missing, seen, turns}: rows of numbers {digits, signs, signsSure}, as `Reader.read` finds them.
export async function read(picture, single) {
  const framed = alreadyNormalized(picture);
  if (!framed) return single ? search(picture, single) : readAnyWayUp(picture);
  const [probabilities] = await classify([framed.frame]);
  const digit = answer(probabilities, Math.max(...probabilities), framed, FRAME_SURE_ABOVE);
  return { rows: [[{ digits: [digit], signs: [""], signsSure: true }]] };
}

// As it is; or turned, if most of it is not sure, and one way much clearer than all others.
async function readAnyWayUp(picture) {
  const ways = [await search(picture)];
  const digits = digitsOf(ways[0].rows);
  const sure = digits.filter((digit) => digit.sure).length;
  const signs = ways[0].rows.flat().every(({ signsSure }) => signsSure);
  const certain = digits.length && sure === digits.length && signs && !ways[0].missing;
  if (certain || !ways[0].seen.length || 2 * sure >= Math.max(digits.length, FEW_DIGITS)) return ways[0];
  for (let turns = 1; turns < 4; turns++) {
    picture = turned(picture);
    ways.push({ ...(await search(picture)), turns });
  }
  const clarity = (way) => sum(digitsOf(way.rows).map(({ confidence }) => Math.max(confidence - READ, 0)));
  const [clearest, second] = ways.toSorted(by((way) => -clarity(way)));
  return clarity(clearest) > clarity(second) + READ ? clearest : ways[0];
}

export const digitsOf = (rows) => rows.flat().flatMap(({ digits }) => digits);

// In a single digit's picture the surest place, otherwise all that are likely; and what is beside them.
export async function search(picture, single) {
  const { detections, crowded } = await find(picture);
  const seen = single ? detections.filter(({ score, frame }) => score > NOTHING && frame.some(Boolean)) : detections;
  if (crowded && !(single && seen.length)) return { rows: [], missing: CROWDED, seen };
  const count = single ? 1 : seen.filter(({ score }) => score > READ).length;
  const [chosen, others] = [seen.slice(0, count), seen.slice(count)];
  const digits = await answers(chosen);
  const boxes = chosen.map(({ box }) => box);
  const rows = readingOrder(boxes);
  const look = async (places) => (await lookAt(picture, places)).map(({ classes }) => classes);
  const signs = single ? { written: new Map(), doubtful: new Set() } : await findSigns(look, picture, chosen, rows);
  const numbers = inNumbers(boxes, rows, signs.written);
  return {
    rows: numbers.map((row) => row.map((which) => number(digits, signs, which))),
    missing: others.some(likely(chosen)) ? moreDigits(count) : "",
    seen: [...rows.flat().map((n) => chosen[n]), ...others],
  };
}

// What stands before its first digit is a minus, or nothing of the number; a point there leaves doubt.
// So does an apostrophe not before three digits.
function number(digits, { written, doubtful }, [first, ...others]) {
  const signs = [written.get(first) === "-" ? "-" : "", ...others.map((n) => written.get(n) ?? "")];
  const known = ![first, ...others].some((n) => doubtful.has(n)) && ["", " ", "-"].includes(written.get(first) ?? "");
  const thousands = !/'(?!000(?!0))/.test(signs.map((sign) => `${sign}0`).join(""));
  return { digits: [first, ...others].map((n) => digits[n]), signs, signsSure: known && thousands };
}

export const moreDigits = (count) => (count ? "there may be another digit" : "there may be a digit");

// Whether one of both networks takes a place beside these digits for one, too.
export function likely(digits) {
  const smallest = median(digits.map(({ size }) => size)) / 2;
  const beside = (other) => other.proposed > READ && isNew(other, digits);
  return (other) => other.size > smallest && (other.score > POSSIBLE || beside(other));
}

// Which digits these places are, by both networks that name digits.
async function answers(detections) {
  const [byLook, byClassifier, byScore, byAgreement, offset] = ANSWER;
  const classified = await classify(detections.map(({ frame }) => frame));
  return detections.map((place, n) => {
    const logarithms = classified[n].map((p) => Math.log(p + EPSILON));
    const logits = logarithms.map((logarithm, k) => byLook * place.logits[k] + byClassifier * logarithm);
    const probabilities = softmax(logits);
    const best = highest(probabilities);
    const evidence = byScore * logOdds(place.score) + byAgreement * logarithms[best] + offset;
    return answer(probabilities, probabilities[best] / (1 + Math.exp(-evidence)), place, SURE_ABOVE);
  });
}

function answer(probabilities, confidence, { box, frame }, sureAbove) {
  const [x0, y0, x1, y1] = box;
  const sure = confidence >= sureAbove && x1 - x0 <= 2 * (y1 - y0);
  return { digit: highest(probabilities), confidence, probabilities, box, frame, sure };
}

// Ten probabilities for each frame of 784 bytes.
export async function classify(frames) {
  if (!frames.length) return [];
  const { probabilities } = await networks.classifier.run({ frames: stacked(frames) });
  return frames.map((_, n) => [...part(probabilities, n)]);
}

export function stacked(frames) {
  const bytes = new Uint8Array(SIDE ** 2 * frames.length);
  frames.forEach((frame, n) => bytes.set(frame, SIDE ** 2 * n));
  return new Tensor(bytes, [frames.length, 1, SIDE, SIDE]);
}

// All that was looked at, the best first, and whether there is too much of it to be digits.
async function find(picture) {
  const longest = Math.max(picture.width, picture.height);
  const detections = [];
  for (let side = 2 * longest > LEVEL ? LEVEL : 2 * LEVEL; ; ) {
    const { reduced, proposals } = await propose(picture, side);
    if (proposals.at(-1).proposed > READ) return { detections, crowded: true };
    const scale = longest / side;
    const sure = detections.filter(({ score }) => score > 1 - POSSIBLE);
    const fresh = proposals
      .filter((place) => place.proposed > POSSIBLE && isNew(enlarged(place, scale, scale), sure))
      .slice(0, proposals.length - detections.length);
    const add = async (places) => {
      const looks = await looked(reduced, places);
      const [across, down] = [picture.width / reduced.width, picture.height / reduced.height];
      detections.push(...looks.map((look) => enlarged(look, across, down)));
    };
    const small = fresh.filter(({ size }) => size < SIDE);
    await add(fresh.filter(({ size }) => size >= SIDE));
    const most = small.length ? Math.max(longest, Math.min(2 * longest, WORKING_SIZE)) : longest;
    if (side >= most || (!small.length && detections.some(({ score }) => score > 1 - POSSIBLE))) {
      await add(fresh.length || detections.length ? small : proposals.slice(0, 1));
      return { detections: distinct(detections), crowded: false };
    }
    side = Math.min(2 * side, most);
  }
}

// The picture reduced to a longer side, and where digits may be in it, the likeliest first.
async function propose({ data, width, height }, side) {
  const scale = side / Math.max(width, height);
  const size = [height, width].map((length) => Math.max(Math.round(length * scale), 1));
  const pixels = new Tensor(data, [height, width, 3]);
  const lengths = new Tensor(BigInt64Array.from(size, BigInt), [2]);
  const { reduced, proposals } = await networks.detect.run({ pixels, size: lengths });
  const places = Array.from({ length: proposals.dims[0] }, (_, n) => {
    const [x, y, size, proposed] = part(proposals, n);
    return { x, y, size, proposed };
  });
  return { reduced: { data: reduced.data, width: size[1], height: size[0] }, proposals: places };
}

// What is at these places; where the box is elsewhere, after a second look if that is better.
async function looked(picture, places) {
  const off = ({ x, y, size, next }) =>
    Math.max(Math.abs(next.x - x), Math.abs(next.y - y), Math.abs(next.size - size)) > MOVED * size;
  const first = await lookAt(picture, places);
  const again = first.filter((place) => place.score > POSSIBLE && off(place));
  const second = await lookAt(picture, again.map(({ next, proposed }) => ({ ...next, proposed })));
  const better = again.map((place, n) => second[n].score > place.score);
  const replaced = new Set(again.filter((_, n) => better[n]));
  return [...first.filter((place) => !replaced.has(place)), ...second.filter((_, n) => better[n])];
}

async function lookAt({ data, width, height }, places) {
  const looks = [];
  const pixels = new Tensor(data, [height, width, 3]);
  for (let start = 0; start < places.length; start += BATCH) {
    const some = places.slice(start, start + BATCH);
    const table = Float32Array.from(some.flatMap(({ x, y, size }) => [x, y, size]));
    const told = await networks.look.run({ pixels, proposals: new Tensor(table, [some.length, 3]) });
    some.forEach((place, n) => {
      const [classes, [byLook], box, [x, y, size], ink, frame] =
        ["classes", "scores", "boxes", "places", "ink", "frames"].map((name) => part(told[name], n));
      const evidence = PRESENCE[0] * logOdds(byLook) + PRESENCE[1] * logOdds(place.proposed) + PRESENCE[2];
      const score = 1 / (1 + Math.exp(-evidence));
      looks.push({ ...place, score, classes, logits: classes.slice(0, 10), box, next: { x, y, size }, ink, frame });
    });
  }
  return looks;
}

// Whether a place is that of a digit that was not found yet, and not dust beside them.
function isNew({ x, y, size }, detections) {
  const digits = detections.filter(({ score }) => score > READ);
  const away = (digit) => Math.hypot(x - digit.x, y - digit.y) > SAME * digit.size;
  return digits.every(away) && 2 * size > SAME * median(digits.map((digit) => digit.size));
}

// What may be digits, the best first, without what is a better one's ink. Where such ink is
// another digit, or elsewhere, it stays as a doubt.
function distinct(detections) {
  const [best, beside] = [[], []];
  let left = detections.toSorted(by(({ score }) => -score));
  while (left.length) {
    const [first, ...others] = left;
    best.push(first);
    left = others.filter((other) => !sameInk(first, other));
    const kept = new Set(left);
    const another = (other) => highest(other.logits) !== highest(first.logits) || isNew(other, [first]);
    const doubts = others.filter((other) => !kept.has(other) && other.score > READ && another(other));
    beside.push(...doubts.map((other) => ({ ...other, score: READ })));
  }
  return [...best, ...beside].sort(by(({ score }) => -score));
}

// Whether two places have most of the ink of one in common.
function sameInk(one, other) {
  const apart = (n) => one.box[n] >= other.box[n + 2] || other.box[n] >= one.box[n + 2];
  if (apart(0) || apart(1)) return false;
  // Where the pixels of one's ink are in the other's.
  const along = (middle, otherMiddle) =>
    Array.from({ length: CROP }, (_, n) => {
      const place = middle + one.size * ((n + 0.5) / SIDE - 1);
      return Math.floor(((place - otherMiddle) / other.size + 1) * SIDE);
    });
  const [columns, rows] = [along(one.x, other.x), along(one.y, other.y)];
  const common = one.ink.map((ink, n) => {
    const [column, row] = [columns[n % CROP], rows[Math.floor(n / CROP)]];
    return column >= 0 && column < CROP ? Math.min(ink, other.ink[row * CROP + column] ?? 0) : 0;
  });
  const area = ({ size }, ink) => sum(ink) * size ** 2;
  return 2 * area(one, common) > Math.min(area(one, one.ink), area(other, other.ink));
}

function enlarged(place, across, down) {
  const size = place.size * Math.max(across, down);
  const box = place.box?.map((value, n) => value * (n % 2 ? down : across));
  return { ...place, x: place.x * across, y: place.y * down, size, box };
}

// A picture turned by a quarter against the clock.
export function turned({ data, width, height }) {
  const channels = data.length / (width * height);
  const rotated = data.slice();
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [from, to] = [y * width + x, (width - 1 - x) * height + y];
      for (let n = 0; n < channels; n++) rotated[channels * to + n] = data[channels * from + n];
    }
  }
  return { data: rotated, width: height, height: width };
}

// The ink of a picture that is framed as in MNIST already, light on dark, and its box; else null.
function alreadyNormalized({ data, width, height }) {
  if (width !== SIDE || height !== SIDE) return null;
  const grey = new Uint8Array(SIDE ** 2).map((_, n) => Math.round(mean(data.subarray(3 * n, 3 * n + 3))));
  for (const frame of [grey, grey.map((value) => 255 - value)]) {
    const pixels = [...frame].map((value, n) => ({ value, x: n % SIDE, y: Math.floor(n / SIDE) }));
    const inked = pixels.filter(({ value }) => value > GROUND);
    const spans = ["x", "y"].map((axis) => inked.map((pixel) => pixel[axis]));
    const [[x0, x1], [y0, y1]] = spans.map((places) => [Math.min(...places), Math.max(...places) + 1]);
    const centre = (axis) => sum(pixels.map((pixel) => pixel.value * pixel[axis])) / sum(frame);
    const off = Math.max(...["x", "y"].map((axis) => Math.abs(centre(axis) - SIDE / 2)));
    const side = Math.max(x1 - x0, y1 - y0);
    if (side >= BOX - 1 && side <= BOX && off <= 0.75) return { frame, box: [x0, y0, x1, y1] };
  }
  return null;
}

// The part of a tensor that belongs to the n-th place or frame.
function part({ data, dims: [count] }, n) {
  const length = data.length / count;
  return data.slice(length * n, length * (n + 1));
}

function logOdds(probability) {
  const kept = Math.min(Math.max(probability, EPSILON), 1 - EPSILON);
  return Math.log(kept / (1 - kept));
}
