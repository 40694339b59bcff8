// A photographed sheet made straight, as `reading/straight.py` does it. Matrices are three rows of three.

import { highest, median, range, sum } from "./arithmetic.js";
import { CONVERGENCES, CORNERS, EDGES_AT, MAX_AWAY, MIN_EDGES, MIN_STRENGTH, SMOOTH, TILTS, WORKING_SIZE } from "./constants.js";
import { greyOf } from "./picture.js";

export const IDENTITY = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
const RADIANS = Math.PI / 180;

// By how many degrees, -45 to 45, most edges fall to the right, or their normals; else 0.
export function lean(picture) {
  const { data, width, height } = greyOf(picture);
  const by = Math.ceil(Math.max(width, height) / EDGES_AT);
  if (Math.min(width, height) < 2 * by) return 0;
  const [wide, high] = [Math.floor(width / by), Math.floor(height / by)];
  let grey = new Float32Array(wide * high);
  for (let y = 0; y < high * by; y++) {
    for (let x = 0; x < wide * by; x++) {
      grey[Math.floor(y / by) * wide + Math.floor(x / by)] += data[y * width + x] / (by * by);
    }
  }
  // Differences of neighbours tell the direction only of what is smooth.
  for (let time = 0; time < 2; time++) grey = smoothed(smoothed(grey, wide, high), wide, high, wide);
  const fall = (n, step, place, count) => {
    const [after, before] = [place < count - 1, place > 0];
    return (grey[n + after * step] - grey[n - before * step]) / Math.max(after + before, 1);
  };
  const [strengths, angles] = [new Float32Array(wide * high), new Float32Array(wide * high)];
  for (let n = 0; n < strengths.length; n++) {
    const [across, down] = [fall(n, 1, n % wide, wide), fall(n, wide, Math.floor(n / wide), high)];
    strengths[n] = across ** 2 + down ** 2;
    angles[n] = Math.atan2(down, across) / RADIANS;
  }
  const least = MIN_STRENGTH * median(strengths);
  const weights = new Array(90).fill(0);
  strengths.forEach((strength, n) => { if (strength >= least) weights[Math.floor((angles[n] + 180) % 90)] += strength; });
  const three = (n) => [weights.at(n - 1), weights[n], weights[(n + 1) % 90]];
  const around = weights.map((_, n) => sum(three(n)));
  const best = highest(around);
  if (around[best] < MIN_EDGES * Math.max(sum(weights), 1)) return 0;
  const [before, , after] = three(best);
  return ((best + 0.5 + (after - before) / around[best] + 45) % 90) - 45;
}

// The mean over SMOOTH pixels along rows, or along columns if a step is as wide as a row.
function smoothed(grey, wide, high, step = 1) {
  const count = step === 1 ? wide : high;
  return grey.map((_, n) => {
    const place = step === 1 ? n % wide : Math.floor(n / wide);
    let all = 0;
    for (let k = -(SMOOTH >> 1); k <= SMOOTH >> 1; k++) {
      all += grey[n + step * (Math.min(Math.max(place + k, 0), count - 1) - place)];
    }
    return all / SMOOTH;
  });
}

// A picture turned against the clock, whole, and the matrix that does it; at most WORKING_SIZE on a side.
export function turnedBy(picture, degrees) {
  if (!degrees) return { page: picture, matrix: IDENTITY };
  const { width, height } = picture;
  const [cosine, sine] = [Math.cos(degrees * RADIANS), Math.sin(degrees * RADIANS)];
  const [c, s] = [Math.abs(cosine), Math.abs(sine)];
  const sides = [width * c + height * s, width * s + height * c];
  const scale = Math.min(1, WORKING_SIZE / Math.max(...sides));
  const [wide, high] = sides.map((side) => Math.max(Math.round(scale * side), 1));
  const [a, b] = [scale * cosine, scale * sine];
  const x = (wide - 1 - a * (width - 1) - b * (height - 1)) / 2;
  const y = (high - 1 + b * (width - 1) - a * (height - 1)) / 2;
  const matrix = [[a, b, x], [-b, a, y], [0, 0, 1]];
  return { page: warped(picture, matrix, wide, high, true), matrix };
}

// The picture that a matrix makes of another, between whose pixels lines are drawn; outside of it is its
// edge, or black.
export function warped({ data, width, height }, matrix, wide, high, edge = false) {
  const [[a, b, c], [d, e, f], [g, h, i]] = inverse(matrix);
  const colours = data.length / width / height;
  const result = new Uint8ClampedArray(colours * wide * high);
  const at = (column, row, colour) => {
    const x = Math.min(Math.max(column, 0), width - 1);
    const y = Math.min(Math.max(row, 0), height - 1);
    return edge || (x === column && y === row) ? data[colours * (y * width + x) + colour] : 0;
  };
  for (let n = 0; n < result.length; n++) {
    const place = Math.floor(n / colours);
    const column = place % wide;
    const row = Math.floor(place / wide);
    const depth = g * column + h * row + i;
    const x = (a * column + b * row + c) / depth;
    const y = (d * column + e * row + f) / depth;
    const left = Math.floor(x);
    const top = Math.floor(y);
    const colour = n % colours;
    const upper = (left + 1 - x) * at(left, top, colour) + (x - left) * at(left + 1, top, colour);
    const lower = (left + 1 - x) * at(left, top + 1, colour) + (x - left) * at(left + 1, top + 1, colour);
    result[n] = (top + 1 - y) * upper + (y - top) * lower;
  }
  return { data: result, width: wide, height: high };
}

// The matrix that makes rows and columns run along the axes, right around the boxes of digits.
export function homography(boxes, columns, rows) {
  const { low, high } = extent(boxes);
  const unit = Math.max(high[0] - low[0], high[1] - low[1]) / 2;
  const [x, y] = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];
  const centred = [[1 / unit, 0, -x / unit], [0, 1 / unit, -y / unit], [0, 0, 1]];
  const bins = Math.max(median(boxes.map(([, y0, , y1]) => y1 - y0)) / unit / 8, 0.002);
  const at = ([x0, y0, x1, y1]) => [...moved([x0, y0], centred), ...moved([x1, y1], centred)];
  const [a, b] = pencil(rows.map(at).map(swapped), bins);
  const [c, d] = pencil(columns.map(at), bins);
  const share = 1 - a * c;
  const straight = [[1, -c, 0], [-a, 1, 0], [(b - a * d) / share, (d - b * c) / share, 1]];
  return product([[unit, 0, 0], [0, unit, 0], [0, 0, 1]], product(straight, centred));
}

// Tilt and convergence of the columns in which boxes cover one another most.
function pencil(all, bins) {
  const boxes = all.filter(([, y0, , y1]) => Math.abs((y0 + y1) / 2) < MAX_AWAY);
  const cases = CONVERGENCES.flatMap((convergence) => TILTS.map((tilt) => [tilt, convergence]));
  const spots = boxes.map(([x0, y0, x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 4]);
  const along = ([tilt, convergence], [x, y]) => (x - tilt * y) / (1 + convergence * y);
  let start = Infinity;
  for (const one of cases) for (const spot of spots) start = Math.min(start, along(one, spot) - spot[2]);
  const scores = cases.map((one) => {
    const changes = [];
    for (const spot of spots) {
      const k = along(one, spot) - start;
      const [first, last] = [k - spot[2], k + spot[2]].map((end) => Math.floor(end / bins));
      changes[first] = (changes[first] ?? 0) + 1;
      changes[last + 1] = (changes[last + 1] ?? 0) - 1;
    }
    let [cover, score] = [0, 0];
    for (let n = 0; n < changes.length; n++) score += (cover += changes[n] ?? 0) ** 2;
    // Of several that are alike, the one that changes least.
    return score * (1 - one[0] ** 2 - one[1] ** 2);
  });
  return cases[highest(scores)];
}

export const swapped = ([x0, y0, x1, y1]) => [y0, x0, y1, x1];

export function moved([x, y], [[a, b, c], [d, e, f], [g, h, i]]) {
  const depth = g * x + h * y + i;
  return [(a * x + b * y + c) / depth, (d * x + e * y + f) / depth];
}

export const corners = (box) => range(4).map((n) => [box[CORNERS[2 * n]], box[CORNERS[2 * n + 1]]]);

// Around the middles of the sides that a matrix moves.
export function warpedBox(box, matrix) {
  const [[ax, ay], [bx, by], [cx, cy], [dx, dy]] = corners(box).map((point) => moved(point, matrix));
  return [(ax + dx) / 2, (ay + by) / 2, (bx + cx) / 2, (cy + dy) / 2];
}

export function extent(boxes) {
  const side = (n, choice) => boxes.reduce((one, box) => choice(one, box[n]), boxes[0][n]);
  return { low: [side(0, Math.min), side(1, Math.min)], high: [side(2, Math.max), side(3, Math.max)] };
}

export function product(one, other) {
  return one.map((row) => range(3).map((n) => sum(row.map((value, k) => value * other[k][n]))));
}

export function inverse([[a, b, c], [d, e, f], [g, h, i]]) {
  const cofactors = [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ];
  const determinant = a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0];
  return cofactors.map((row) => row.map((value) => value / determinant));
}
