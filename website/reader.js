// Reads pictures as the package's Python does: the same three ONNX graphs, and what is around them
// (`reading/detection.py`, `reader.py`, `layout.py`, `framing.py`).

// A place that was looked at: {x, y, size, proposed, score, logits, box, next, ink, frame}, in pixels; `next`
// is the place of its box. Pictures are {data, width, height}, with three bytes a pixel.

const EPSILON = 1.1920929e-7;
export const SIDE = 28;
export const CROP = 2 * SIDE;

export class Reader {
  // `constants` are those of Python, and what calibration found: `make site` writes them.
  constructor(ort, sessions, constants) {
    Object.assign(this, { ort, ...sessions, constants });
  }

  // {rows, missing, seen, turns}: digits in rows, as `Reader.read` finds them in a picture.
  read(picture, single) {
    const framed = alreadyFramed(picture, this.constants);
    if (framed) return this.readFrame(framed);
    return single ? this.readOne(picture) : this.readAnyWayUp(picture);
  }

  async readFrame({ frame, box }) {
    const [probabilities] = await this.classify([frame]);
    const confidence = Math.max(...probabilities);
    const digit = answer(probabilities, confidence, box, frame, this.constants.frame_sure_above);
    return { rows: [[digit]], missing: "", seen: null, turns: 0 };
  }

  async readOne(picture) {
    const { nothing } = this.constants;
    const { found, crowded } = await this.find(picture);
    const seen = found.filter(({ score, frame }) => score > nothing && frame.some((value) => value));
    if (!seen.length) return { rows: [], missing: crowded ? CROWDED : "", seen, turns: 0 };
    const [first, ...others] = seen;
    return { rows: [await this.answers([first])], missing: this.missing([first], others), seen, turns: 0 };
  }

  // As it is; or turned, if most of it is not sure, and one way much clearer than all others.
  async readAnyWayUp(picture) {
    const reading = await this.readRows(picture);
    const digits = reading.rows.flat();
    const sure = digits.filter((digit) => digit.sure).length;
    const certain = digits.length && sure === digits.length && !reading.missing;
    if (certain || !reading.seen.length || (digits.length && 2 * sure >= digits.length)) return reading;
    const ways = [reading];
    let page = picture;
    for (let turns = 1; turns < 4; turns++) {
      page = turned(page);
      ways.push({ ...(await this.readRows(page)), turns });
    }
    const { read } = this.constants;
    const clarity = (way) => sum(way.rows.flat().map(({ confidence }) => Math.max(confidence - read, 0)));
    const [clearest, second] = [...ways].sort((one, other) => clarity(other) - clarity(one));
    return clarity(clearest) > clarity(second) + read ? clearest : reading;
  }

  async readRows(picture) {
    const { read } = this.constants;
    const { found, crowded } = await this.find(picture);
    if (crowded) return { rows: [], missing: CROWDED, seen: found, turns: 0 };
    const [sure, others] = [found.filter(({ score }) => score > read), found.filter(({ score }) => score <= read)];
    const digits = await this.answers(sure);
    const rows = inRows(sure.map(({ box }) => box), this.constants);
    const seen = [...rows.flat().map((n) => sure[n]), ...others];
    return { rows: rows.map((row) => row.map((n) => digits[n])), missing: this.missing(sure, others), seen, turns: 0 };
  }

  // What is said if one of both networks takes others for digits, too.
  missing(digits, others) {
    const { read, possible } = this.constants;
    const size = median(digits.map((digit) => digit.size));
    const likely = (other) => other.score > possible || (other.proposed > read && this.isNew(other, digits));
    return others.some((other) => likely(other) && 2 * other.size > size) ? ANOTHER : "";
  }

  // Which digits these places are, by both networks that name digits.
  async answers(found) {
    if (!found.length) return [];
    const [byLook, byClassifier, byScore, byAgreement, offset] = this.constants.answer;
    const classified = await this.classify(found.map(({ frame }) => frame));
    return found.map((place, n) => {
      const logarithms = classified[n].map((p) => Math.log(p + EPSILON));
      const probabilities = softmax(place.logits.map((logit, k) => byLook * logit + byClassifier * logarithms[k]));
      const best = highest(probabilities);
      const score = clamp(place.score, EPSILON, 1 - EPSILON);
      const evidence = byScore * Math.log(score / (1 - score)) + byAgreement * logarithms[best] + offset;
      const confidence = probabilities[best] / (1 + Math.exp(-evidence));
      return answer(probabilities, confidence, place.box, place.frame, this.constants.sure_above);
    });
  }

  // Probabilities of digits in frames of 784 bytes, ten of each.
  async classify(frames) {
    const { probabilities } = await this.classifier.run({ frames: this.stacked(frames) });
    return frames.map((_, n) => [...probabilities.data.subarray(10 * n, 10 * n + 10)]);
  }

  stacked(frames) {
    const bytes = new Uint8Array(SIDE * SIDE * frames.length);
    frames.forEach((frame, n) => bytes.set(frame, n * SIDE * SIDE));
    return new this.ort.Tensor("uint8", bytes, [frames.length, 1, SIDE, SIDE]);
  }

  // All that was looked at, the surest first, and whether there is too much of it to be digits.
  async find(picture) {
    const { level, read, possible, working_size: working } = this.constants;
    const longest = Math.max(picture.width, picture.height);
    let found = [];
    for (let side = 2 * longest > level ? level : 2 * level; ; ) {
      const { reduced, proposals, across, down } = await this.propose(picture, side);
      if (proposals.at(-1).proposed > read) return { found, crowded: true };
      const moved = (places) => places.map((place) => enlarged(place, across, down));
      const scale = longest / side;
      const fresh = proposals
        .filter(({ proposed }) => proposed > possible)
        .filter((place) => this.isNew(enlarged(place, scale, scale), found))
        .slice(0, proposals.length - found.length);
      const small = fresh.filter(({ size }) => size < SIDE);
      found.push(...moved(await this.looked(reduced, fresh.filter(({ size }) => size >= SIDE))));
      const most = small.length ? Math.max(longest, Math.min(2 * longest, working)) : longest;
      if (side >= most || (!small.length && found.some(({ score }) => score > read))) {
        const last = fresh.length || found.length ? small : proposals.slice(0, 1);
        found.push(...moved(await this.looked(reduced, last)));
        return { found: this.distinct(found), crowded: false };
      }
      side = Math.min(2 * side, most);
    }
  }

  // The picture reduced to a longer side, and where digits may be in it, the likeliest first.
  async propose(picture, side) {
    const longest = Math.max(picture.width, picture.height);
    const [high, wide] = [picture.height, picture.width].map((length) => Math.max(Math.round((length * side) / longest), 1));
    const size = new this.ort.Tensor("int64", BigInt64Array.of(BigInt(high), BigInt(wide)), [2]);
    const { reduced, proposals } = await this.detect.run({ pixels: this.pixels(picture), size });
    const places = rowsOf(proposals).map(([x, y, size, proposed]) => ({ x, y, size, proposed }));
    const [across, down] = [picture.width / wide, picture.height / high];
    return { reduced: { data: reduced.data, width: wide, height: high }, proposals: places, across, down };
  }

  pixels({ data, width, height }) {
    return new this.ort.Tensor("uint8", data, [height, width, 3]);
  }

  // What is at these places; where the box is elsewhere, after a second look if that is better.
  async looked(picture, places) {
    const { moved, possible } = this.constants;
    const first = await this.lookAt(picture, places);
    const away = ({ x, y, size }, { next }) => Math.max(Math.abs(next.x - x), Math.abs(next.y - y), Math.abs(next.size - size));
    const again = first.filter((place) => place.score > possible && away(place, place) > moved * place.size);
    const second = await this.lookAt(picture, again.map(({ next, proposed }) => ({ ...next, proposed })));
    const better = again.filter((place, n) => second[n].score > place.score);
    return [...first.filter((place) => !better.includes(place)), ...second.filter((place, n) => place.score > again[n].score)];
  }

  async lookAt(picture, places) {
    const looked = [];
    for (let start = 0; start < places.length; start += this.constants.batch) {
      const part = places.slice(start, start + this.constants.batch);
      const proposals = Float32Array.from(part.flatMap(({ x, y, size }) => [x, y, size]));
      const feeds = { pixels: this.pixels(picture), proposals: new this.ort.Tensor("float32", proposals, [part.length, 3]) };
      const { classes, scores, boxes, places: next, ink, frames } = await this.look.run(feeds);
      const [logits, corners, nexts] = [classes, boxes, next].map(rowsOf);
      part.forEach(({ x, y, size, proposed }, n) => {
        const [atX, atY, atSize] = nexts[n];
        looked.push({
          x, y, size, proposed,
          score: scores.data[n],
          logits: logits[n].slice(0, 10),
          box: corners[n],
          next: { x: atX, y: atY, size: atSize },
          ink: ink.data.slice(n * CROP * CROP, (n + 1) * CROP * CROP),
          frame: frames.data.slice(n * SIDE * SIDE, (n + 1) * SIDE * SIDE),
        });
      });
    }
    return looked;
  }

  // Whether a place is that of a digit that was not found yet, and not dust beside them.
  isNew(place, found) {
    const { same, read } = this.constants;
    const digits = found.filter(({ score }) => score > read);
    if (!digits.length) return true;
    const away = digits.every((digit) => Math.hypot(place.x - digit.x, place.y - digit.y) > same * digit.size);
    return away && 2 * place.size > same * median(digits.map(({ size }) => size));
  }

  // What may be digits, the surest first, without what is a surer one's ink. Where such ink is
  // another digit, or elsewhere, it stays as a doubt.
  distinct(found) {
    const { read } = this.constants;
    let left = [...found].sort((one, other) => other.score - one.score);
    const [best, beside] = [[], []];
    while (left.length) {
      const [first, ...others] = left;
      best.push(first);
      const covered = others.filter((other) => sameInk(first, other));
      for (const other of covered) {
        const another = highest(other.logits) !== highest(first.logits) || this.isNew(other, [first]);
        if (another && other.score > read) beside.push({ ...other, score: read });
      }
      left = others.filter((other) => !covered.includes(other));
    }
    return [...best, ...beside].sort((one, other) => other.score - one.score);
  }
}

const CROWDED = "more than 1,000 places look like digits";
const ANOTHER = "there may be another digit";

const sum = (values) => values.reduce((one, other) => one + other, 0);
export const mean = (values) => sum(values) / values.length;
export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
export const highest = (values) => values.indexOf(Math.max(...values));

function median(values) {
  if (!values.length) return 0;
  const ordered = [...values].sort((one, other) => one - other);
  const [low, high] = [ordered[(ordered.length - 1) >> 1], ordered[ordered.length >> 1]];
  return (low + high) / 2;
}

export function softmax(logits) {
  const most = Math.max(...logits);
  const odds = logits.map((logit) => Math.exp(logit - most));
  return odds.map((one) => one / sum(odds));
}

function rowsOf({ data, dims: [count, wide] }) {
  return Array.from({ length: count }, (_, n) => [...data.subarray(n * wide, (n + 1) * wide)]);
}

function enlarged(place, across, down) {
  const moved = { ...place, x: place.x * across, y: place.y * down, size: place.size * Math.max(across, down) };
  if (place.box) moved.box = place.box.map((value, n) => value * (n % 2 ? down : across));
  return moved;
}

// A picture turned by a quarter against the clock.
function turned({ data, width, height }) {
  const rotated = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [from, to] = [3 * (y * width + x), 3 * ((width - 1 - x) * height + y)];
      for (let n = 0; n < 3; n++) rotated[to + n] = data[from + n];
    }
  }
  return { data: rotated, width: height, height: width };
}

// Whether two places have most of the ink of one in common.
function sameInk(one, other) {
  const [[ax, ay, bx, by], [cx, cy, dx, dy]] = [one.box, other.box];
  if (ax >= dx || cx >= bx || ay >= dy || cy >= by) return false;
  // Where the pixels of one's ink are in the other's.
  const along = (middle, otherMiddle) =>
    Array.from({ length: CROP }, (_, n) => {
      const place = middle + one.size * ((n + 0.5) / SIDE - 1);
      return Math.floor(((place - otherMiddle) / other.size + 1) * SIDE);
    });
  const [columns, rows] = [along(one.x, other.x), along(one.y, other.y)];
  let common = 0;
  rows.forEach((row, y) => {
    if (row < 0 || row >= CROP) return;
    columns.forEach((column, x) => {
      if (column >= 0 && column < CROP) common += Math.min(other.ink[row * CROP + column], one.ink[y * CROP + x]);
    });
  });
  const area = ({ ink, size }) => sum([...ink]) * size ** 2;
  return 2 * common * one.size ** 2 > Math.min(area(one), area(other));
}

// The numbers of boxes in reading order: rows from the top, each from the left; rows may slope.
function inRows(boxes, { beside, agree }) {
  const slope = slopeOf(boxes, agree);
  const across = ([x0, , x1]) => (x0 + x1) / 2;
  const level = boxes.map((box) => [box[1], box[3]].map((y) => y - slope * across(box)));
  const share = (one, other) => {
    const common = Math.min(one[1], other[1]) - Math.max(one[0], other[0]);
    return common / Math.max(Math.min(one[1] - one[0], other[1] - other[0]), 1);
  };
  const rows = [];
  for (const n of boxes.map((_, n) => n).sort((one, other) => across(boxes[one]) - across(boxes[other]))) {
    const shares = rows.map((row) => share(level[n], level[row.at(-1)]));
    const best = highest(shares);
    if (shares[best] > beside) rows[best].push(n);
    else rows.push([n]);
  }
  const top = (row) => mean(row.map((n) => mean(level[n])));
  return rows.sort((one, other) => top(one) - top(other));
}

// How far rows fall for each pixel to the right: the median over neighbours.
function slopeOf(boxes, agree) {
  const middles = boxes.map(([x0, y0, x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2]);
  const away = middles.map(([x, y]) =>
    middles.map(([otherX, otherY]) => {
      const [across, down] = [otherX - x, otherY - y];
      return across > 0 && Math.abs(down) < 2 * across ? Math.hypot(across, down) : Infinity;
    }),
  );
  const nearest = (distances) => distances.indexOf(Math.min(...distances));
  const right = away.map(nearest);
  const left = middles.map((_, n) => nearest(away.map((row) => row[n])));
  const falls = middles.flatMap(([x, y], n) => {
    const next = right[n];
    const linked = left[next] === n && Number.isFinite(away[n][next]);
    return linked ? [(middles[next][1] - y) / (middles[next][0] - x)] : [];
  });
  if (falls.length < 2) return 0;
  const slope = median(falls);
  return median(falls.map((fall) => Math.abs(fall - slope))) < agree ? slope : 0;
}

// The ink of a picture that is framed as in MNIST already, light on dark, and its box; else null.
function alreadyFramed({ data, width, height }, { ground, framed_box: filled }) {
  if (width !== SIDE || height !== SIDE) return null;
  const grey = Uint8Array.from({ length: SIDE * SIDE }, (_, n) => Math.round((data[3 * n] + data[3 * n + 1] + data[3 * n + 2]) / 3));
  for (const frame of [grey, grey.map((value) => 255 - value)]) {
    const inked = [...frame.keys()].filter((n) => frame[n] > ground);
    if (!inked.length) continue;
    const [xs, ys] = [inked.map((n) => n % SIDE), inked.map((n) => Math.floor(n / SIDE))];
    const box = [Math.min(...xs), Math.min(...ys), Math.max(...xs) + 1, Math.max(...ys) + 1];
    const side = Math.max(box[2] - box[0], box[3] - box[1]);
    const centre = (place) => sum([...frame].map((value, n) => value * place(n))) / sum([...frame]) - SIDE / 2;
    const off = Math.max(Math.abs(centre((n) => n % SIDE)), Math.abs(centre((n) => Math.floor(n / SIDE))));
    if (side >= filled - 1 && side <= filled && off <= 0.75) return { frame, box };
  }
  return null;
}

export const tooWide = ([x0, y0, x1, y1]) => x1 - x0 > 2 * (y1 - y0);

function answer(probabilities, confidence, box, frame, sureAbove) {
  const sure = confidence >= sureAbove && !tooWide(box);
  return { digit: highest(probabilities), confidence, probabilities, box, frame, sure };
}
