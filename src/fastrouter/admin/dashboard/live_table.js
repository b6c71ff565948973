// A table of what a stream of events tells, the newest first, that can be paused. Nothing is asked for while it is.

import { listen } from "./api.js";
import { h, renew, table } from "./dom.js";

// `path` and `query()` say what is listened to, `columns` and `options` are those of the table, which has `kept` rows at
// most; a stream that `replays` begins with what there was. `take(kind, data)` returns the row of an event, null if it has
// none; `caption()` is what stands above, `broken` what is told when the stream breaks off.
export function liveTable(context, { path, query, columns, options, kept, replays = false, take, caption, broken }) {
  const rows = [];
  const place = h("div");
  let stream = null;
  let isDue = false;
  const pause = h("button", { type: "button", "data-pause": true, onclick: () => (stream ? stop() : start()) }, "Pause");

  function draw() {
    isDue = false;
    renew(place, table(`${caption()}${stream ? "" : "; paused"}.`, columns, rows, options));
  }

  // However much comes, the table is made four times a second.
  function drawSoon() {
    if (isDue) return;
    isDue = true;
    setTimeout(draw, 250);
  }

  function start() {
    if (replays) rows.length = 0;
    stream = listen(
      path,
      query(),
      (kind, data) => {
        const row = take(kind, data);
        if (row !== null) rows.unshift(row);
        rows.length = Math.min(rows.length, kept);
        drawSoon();
      },
      (isOpen, reason) => context.tell(isOpen ? "" : reason || broken),
    );
    pause.textContent = "Pause";
    draw();
  }

  function stop() {
    end();
    pause.textContent = "Go on";
    draw();
  }

  // The view is left.
  function end() {
    stream?.stop();
    stream = null;
  }

  function clear() {
    rows.length = 0;
    draw();
  }

  // Go on with another query.
  function restart() {
    stop();
    start();
  }

  return { place, pause, start, restart, end, clear, isRunning: () => stream !== null };
}
