// Where the rows and columns of a table that lies straight begin and end (`reading/grid.py`).

import { by, mean, median, range, unique } from "./arithmetic.js";
import { MIN_INSIDE, MAX_CUT, MAX_CUTTING, MIN_HIGH, MIN_SEEN, MIN_SURE_GAP, MIN_WIDE } from "./constants.js";
import { across, along, below, corridors, readingOrder } from "./reading_order.js";
import { shareAt, shares } from "./rulings.js";
import { extent, swapped } from "./straight.js";

// The edges of {columns, rows}, and whether the columns are sure. Digits are {box, number, sure}, in
// reading order; the boxes lie straight.
export function findGrid(digits, [down, sideways]) {
  const boxes = digits.map(({ box }) => box);
  const [turned, height] = [boxes.map(swapped), median(boxes.map(([, y0, , y1]) => y1 - y0))];
  const lines = linesOf(boxes, down);
  const read = readingOrder(boxes).map((row) => row.map((n) => along(boxes[n])));
  const levels = read.map(mean).sort(by(Number));
  // On a sheet that is bent, a line may run through a row.
  const through = (line) => read.some((row) => Math.min(...row) < line && Math.max(...row) > line);
  const crossing = linesOf(turned, sideways).filter((line) => !through(line));
  const { gaps, certain } = cutsOf(digits);
  // Letters may stand alone in a column.
  const told = unique(digits.filter(({ sure }) => sure).map(({ box }) => below(gaps, across(box))));
  const columns = edgesOf(boxes, gaps, enclosing(boxes, lines, sideways, crossing, MIN_WIDE * height));
  const middles = levels.slice(1).map((level, n) => (levels[n] + level) / 2);
  const rows = edgesOf(turned, middles, enclosing(turned, crossing, down, lines, MIN_HIGH * height));
  const ruled = columns.length > 2 && columns.slice(1, -1).every((edge) => lines.includes(edge));
  return { columns, rows, sure: lines.length ? ruled : certain && told.length === gaps.length + 1 };
}

// Lines that part digits, and cuts where a line is missing.
function edgesOf(boxes, cuts, lines) {
  const middles = boxes.map(across).sort(by(Number));
  const strip = middles.map((middle) => below(lines, middle));
  const { low, high } = extent(boxes);
  if (unique(strip).length < 2) return [low[0], ...cuts, high[0]];
  const missing = cuts.filter((cut) => strip.at(below(middles, cut) - 1) === strip[below(middles, cut)]);
  return [...lines, ...missing].sort(by(Number));
}

// Where columns are parted that no line parts, and whether these are certainly all. A narrow gap needs several
// rows that tell of it.
function cutsOf(digits) {
  const gaps = corridors(digits).map((gap) => ({ ...gap, broad: gap.width > MIN_SURE_GAP }));
  const told = ({ broad, apart, together }) => broad || 2 * apart + together > 3;
  const certain = gaps.every((gap) => gap.broad || (told(gap) && !gap.together));
  return { gaps: gaps.filter(told).map(({ middle }) => middle), certain };
}

// Whether a line that runs down goes through a box.
export const crosses = (line, [x0, , x1]) => line > x0 + MIN_INSIDE * (x1 - x0) && line < x1 - MIN_INSIDE * (x1 - x0);

// Where lines run down beside most rows of digits, and between them, from the left; none if they run through
// digits, as those of squared paper do.
function linesOf(boxes, rulings) {
  const rows = boxes.flatMap(([, y0, , y1]) => range(5).map((n) => y0 + (n / 4) * (y1 - y0)));
  const seen = shares(rulings, rows).map((share) => share > MIN_SEEN);
  const starts = range(seen.length).filter((x) => seen[x] && !seen[x - 1]);
  const ends = range(seen.length).filter((x) => seen[x] && !seen[x + 1]);
  const lines = starts.map((first, n) => rulings.start[0] + (rulings.step * (first + ends[n])) / 2);
  if (lines.length < 2) return [];
  const cut = lines.map((line) => boxes.filter((box) => crosses(line, box)).length);
  const few = MAX_CUT * boxes.length;
  const inside = boxes.filter((box) => across(box) > lines[0] && across(box) < lines.at(-1));
  const cutting = cut.filter((count) => count > few).length;
  if (cutting / cut.length > MAX_CUTTING || 2 * inside.length < boxes.length) return [];
  // One line alone may cut more: a number that is too wide for its column runs over it.
  return lines.filter((_, n) => cut[n] <= Math.max(few, Math.min(boxes.length / 10, 2)));
}

// The lines that are edges of columns: the outermost enclose digits, or lines across. So the edges of the
// paper are left out.
function enclosing(boxes, lines, sideways, crossing, room) {
  if (!lines.length) return [];
  const middles = boxes.map(across);
  const empty = (left, right) => !middles.some((middle) => middle > left && middle < right);
  const ofPaper = (left, right) => {
    const seen = crossing.map((y) => shareAt(sideways, y, left, right));
    return empty(left, right) && mean([...seen, 0]) <= MIN_SEEN;
  };
  let kept = lines;
  while (kept.length > 1 && empty(-Infinity, kept[0]) && ofPaper(kept[0], kept[1])) kept = kept.slice(1);
  while (kept.length > 1 && empty(kept.at(-1), Infinity) && ofPaper(kept.at(-2), kept.at(-1))) kept = kept.slice(0, -1);
  const { low, high } = extent(boxes);
  const first = Math.min(...middles) < kept[0] ? low[0] : kept[0];
  const last = Math.max(...middles) > kept.at(-1) ? high[0] : kept.at(-1);
  const edges = unique([first, ...kept, last]).sort(by(Number));
  // Between two lines where no digit would have room there is no column.
  const thin = range(edges.length - 1).filter((n) => empty(edges[n], edges[n + 1]) && edges[n + 1] - edges[n] < room);
  const gone = new Set(thin.map((n) => n || 1));
  return edges.filter((_, n) => !gone.has(n));
}
