// Figures as text for people.

// A rate or a number, with three digits at most before it gets a unit.
export function amount(value) {
  if (value === null || value === undefined) return "–";
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (value >= size) return `${(value / (unit === "k" ? 1e3 : size)).toFixed(value >= 10 * size ? 0 : 1)} ${unit}`;
  }
  return Number.isInteger(value) || value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

// Seconds as a span.
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(0)} h`;
  return `${(seconds / 86400).toFixed(0)} d`;
}

// A share from 0 to 1.
export function percent(share) {
  if (share === null || share === undefined) return "–";
  const value = share * 100;
  return `${value === 0 ? "0" : value < 0.1 ? "<0.1" : value.toFixed(value < 10 ? 1 : 0)} %`;
}

// Bytes.
export function bytes(count) {
  for (const [size, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (count >= size) return `${(count / size).toFixed(1)} ${unit}`;
  }
  return `${count} B`;
}

// The time of day of a Unix time.
export function clock(time) {
  return new Date(time * 1000).toLocaleTimeString([], { hour12: false });
}

// What a share of errors means.
export function grade(share) {
  return share >= 0.05 ? "bad" : share > 0 ? "warn" : "good";
}

// What a status means.
export function gradeOfStatus(status) {
  return status >= 500 || status === 0 ? "bad" : status >= 400 ? "warn" : "good";
}
