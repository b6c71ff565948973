// Requests as they end. Nothing is asked for while nobody looks, or while it is paused.

import { choice, field, h } from "./dom.js";
import { bytes, clock, gradeOfStatus, span } from "./format.js";
import { liveTable } from "./live_table.js";

const STATUSES = [["", "all"], ["2", "2xx"], ["3", "3xx"], ["4", "4xx"], ["5", "5xx"]];
const SLOWNESS = [["", "any"], ["0.1", "over 100 ms"], ["1", "over 1 s"], ["10", "over 10 s"]];
const SAMPLES = [["1", "all"], ["0.1", "1 of 10"], ["0.01", "1 of 100"]];

const COLUMNS = [
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

export function show(main, context) {
  const wanted = { route: context.route() || "", status: "", slower_than: "", sample: "1" };
  let lost = 0;
  const live = liveTable(context, {
    path: "/v1/tail",
    query: () => wanted,
    columns: COLUMNS,
    options: {
      choose: (row) => row.route && context.openRoute(row.route),
      key: (row) => row.request_id,
      empty: "No request has ended since.",
    },
    kept: 200,
    take: (kind, data) => {
      if (kind !== "lost") return data;
      lost += data.lost;
      return null;
    },
    caption: () => `Newest first${lost ? `; ${lost} more were too many to be shown` : ""}`,
    broken: "The tail has broken off and begins again.",
  });

  function change(name, value) {
    wanted[name] = value;
    if (live.isRunning()) live.restart();
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
      live.pause,
      h("button", {
        type: "button",
        onclick: () => {
          lost = 0;
          live.clear();
        },
      }, "Clear"),
    ),
    live.place,
  );
  live.start();
  return () => {
    clearTimeout(typing);
    live.end();
  };
}
