// What happens: changes of the table, marks, reloads, workers, and what operators do.

import { listen } from "./api.js";
import { choice, field, h, renew, table } from "./dom.js";
import { clock } from "./format.js";

const KEPT = 500;
const KINDS = [
  ["", "everything"],
  ["route-", "routes"],
  ["endpoint-", "endpoints"],
  ["endpoint-failed", "marks"],
  ["endpoint-pruned", "prunes"],
  ["worker-", "workers"],
  ["admin-act", "acts of operators"],
];

export function show(main, context) {
  let kind = "";
  let stream = null;
  let isDue = false;
  const rows = [];
  const place = h("div");
  const pause = h("button", { type: "button", "data-pause": true, onclick: () => (stream ? stop() : start()) }, "Pause");

  const columns = [
    { title: "When", cell: (row) => clock(row.time) },
    { title: "What", cell: (row) => h("span", { class: /failed|pruned|exited|refused/.test(row.kind) ? "bad" : null }, row.kind) },
    { title: "Route", name: true, cell: (row) => row.route || "" },
    { title: "Endpoint", cell: (row) => h("span", { class: "mono" }, row.endpoint || "") },
    { title: "More", name: true, cell: (row) => [row.reason, row.data && JSON.stringify(row.data)].filter(Boolean).join(" ") },
  ];

  function draw() {
    isDue = false;
    renew(
      place,
      table(`Newest first${stream ? "" : "; paused"}.`, columns, rows, { choose: (row) => row.route && context.openRoute(row.route), key: (row) => row.id }),
    );
  }

  function start() {
    rows.length = 0;
    stream = listen(
      "/v1/events",
      { kind, after: "0" },
      (name, data) => {
        rows.unshift(name === "gap" ? { time: Date.now() / 1000, kind: "(some events are missing)" } : data);
        rows.length = Math.min(rows.length, KEPT);
        if (!isDue) {
          isDue = true;
          setTimeout(draw, 250);
        }
      },
      (isOpen, reason) => context.tell(isOpen ? "" : reason || "The events have broken off and begin again."),
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

  main.append(
    h("form", { class: "bar", onsubmit: (event) => event.preventDefault() },
      field("Kind", choice(KINDS, kind, (value) => {
        kind = value;
        stop();
        start();
      })),
      pause),
    place,
  );
  start();
  return () => {
    stream?.stop();
    stream = null;
  };
}
