// A line of values over time, as SVG.

import { svg } from "./dom.js";

const WIDTH = 100;
const HEIGHT = 20;

// Draw lists of values over each other, the later in red; all begin at zero and share a scale. `title` is for those who
// do not see it.
export function sparkline(title, ...series) {
  const top = Math.max(1e-9, ...series.flat());
  const paths = series.map((values, index) =>
    svg("path", { d: pathOf(values, top), class: index > 0 ? "bad" : null }),
  );
  return svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": title },
    svg("title", {}, title),
    paths,
  );
}

function pathOf(values, top) {
  if (values.length < 2) return "";
  const step = WIDTH / (values.length - 1);
  return values
    .map((value, index) => `${index ? "L" : "M"}${(index * step).toFixed(1)} ${(HEIGHT - (value / top) * HEIGHT).toFixed(1)}`)
    .join("");
}
