// Of lists of numbers.

export const by = (key) => (one, other) => key(one) - key(other);
export const sum = (values) => values.reduce((one, other) => one + other, 0);
export const range = (count) => Array.from({ length: count }, (_, n) => n);
export const unique = (values) => [...new Set(values)];
export const mean = (values) => sum(values) / values.length;
export const highest = (values) => values.indexOf(Math.max(...values));

export function median(values) {
  const ordered = values.toSorted(by(Number));
  return values.length && mean([ordered[(values.length - 1) >> 1], ordered[values.length >> 1]]);
}

export function softmax(logits) {
  const most = Math.max(...logits);
  const odds = Array.from(logits, (logit) => Math.exp(logit - most));
  return odds.map((one) => one / sum(odds));
}
