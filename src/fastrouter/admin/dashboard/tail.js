// Requests as they end. Nothing is asked for while nobody looks, or while it is paused.

import { listen } from "./api.js";
import { choice, field, h, renew, table } from "./dom.js";
import { bytes, clock, gradeOfStatus, span } from "./format.js";

const KEPT = 200;
const STATUSES = [["", "all"], ["2", "2xx"], ["3", "3xx"], ["4", "4xx"], ["5", "5xx"]];
const SLOWNESS = [["", "any"], ["0.1", "over 100 ms"], ["1", "over 1 s"], ["10", "over 10 s"]];
const SAMPLES = [["1", "all"], ["0.1", "1 of 10"], ["0.01", "1 of 100"]];

export function show(main, context) {
  const wanted = { route: context.route() || "", status: "", slower_than: "", sample: "1" };
  const rows = [];
  let lost = 0;
  let stream = null;
  let isDue = false;
  const place = h("div");
  const pause = h("button", { type: "button", "data-pause": true, onclick: () => (stream ? stop() : start()) }, "Pause");

  const columns = [
    { title: "When", cell: (row) => clock(row.at) },
    { title: "Status", number: true, cell: (row) => h("span", { class: gradeOfStatus(row.status) }, row.status || "–") },
    { title: "Method", cell: (row) => row.method },
    { title: "URL", name: true, cell: (row) => row.host + row.path },
    { title: "Took", number: true, cell: (row) => span(row.latency) },
    { title: "Sent", number: true, cell: (row) => bytes(row.bytes_sent) },
    { title: "Endpoint", cell: (row) => h("span", { class: "mono" }, row.endpoint || "–") },
    { title: "Tries", number: true, cell: (row) => String(row.attempts) },
    { title: "Error", cell: (row) => row.router_error },
  ];

  function draw() {
    isDue = false;
    const caption = `Newest first${lost ? `; ${lost} more were too many to be shown` : ""}${stream ? "" : "; paused"}.`;
    renew(
      place,
      table(caption, columns, rows, { choose: (row) => row.route && context.openRoute(row.route), key: (row) => row.request_id, empty: "No request has ended since." }),
    );
  }

  // However many requests end, the table is made four times a second.
  function drawSoon() {
    if (isDue) return;
    isDue = true;
    setTimeout(draw, 250);
  }

  function start() {
    stream = listen(
      "/v1/tail",
      wanted,
      (kind, data) => {
        if (kind === "lost") lost += data.lost;
        else rows.unshift(data);
        rows.length = Math.min(rows.length, KEPT);
        drawSoon();
      },
      (isOpen, reason) => context.tell(isOpen ? "" : reason || "The tail has broken off and begins again."),
    );
    pause.textContent = "Pause";
    draw();
  }

  function stop() {
    stream?.stop();
    stream = null;
    pause.textContent = "Go on";
    draw();
  }

  function change(name, value) {
    wanted[name] = value;
    if (stream) {
      stop();
      start();
    }
  }

  let typing = null;
  main.append(
    h(
      "form",
      { class: "bar", onsubmit: (event) => event.preventDefault() },
      field("Route", h("input", {
        type: "search",
        value: wanted.route,
        placeholder: "app.example.com/path",
        oninput: (event) => {
          clearTimeout(typing);
          typing = setTimeout(() => change("route", event.target.value), 400);
        },
      })),
      field("Status", choice(STATUSES, "", (value) => change("status", value))),
      field("Slow", choice(SLOWNESS, "", (value) => change("slower_than", value))),
      field("Sample", choice(SAMPLES, "1", (value) => change("sample", value))),
      pause,
      h("button", { type: "button", onclick: () => { rows.length = 0; lost = 0; draw(); } }, "Clear"),
    ),
    place,
  );
  start();
  return () => {
    clearTimeout(typing);
    stream?.stop();
    stream = null;
  };
}
