// Certificates that the router uses, the one that expires first on top.

import { get, repeat } from "./api.js";
import { h, table } from "./dom.js";

export function show(main, context) {
  const place = h("div");
  const columns = [
    { title: "Days left", number: true, cell: (row) => h("span", { class: gradeOf(row) }, row.days_left === null ? "–" : row.days_left.toFixed(0)) },
    { title: "Subject", name: true, cell: (row) => row.error || row.subject },
    { title: "Names", name: true, cell: (row) => row.names.join(", ") },
    { title: "Issuer", name: true, cell: (row) => row.issuer },
    { title: "Used for", cell: (row) => h("code", {}, row.use) },
    { title: "Until", cell: (row) => (row.not_after ? row.not_after.slice(0, 10) : "–") },
  ];

  async function refresh() {
    const found = await get("/v1/certificates");
    place.replaceChildren(table("The first to expire on top", columns, found.certificates, { empty: "The router has no certificates." }));
  }

  main.append(place);
  const running = repeat(30, refresh, context.failed);
  return () => running.stop();
}

function gradeOf(row) {
  if (row.error || row.days_left < 7) return "bad";
  return row.days_left < 30 ? "warn" : "good";
}
