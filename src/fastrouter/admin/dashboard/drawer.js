// The drawer: one route with its endpoints, what would become of a request, and what has changed of it.

import { Problem, act, get, repeat, segment } from "./api.js";
import { field, h, renew, table } from "./dom.js";
import { amount, clock, percent, span } from "./format.js";

const aside = document.getElementById("drawer");
let opened = null;
let running = null;

// Show `route`, or nothing if it is null.
export function open(route, context) {
  if (route === opened) return;
  running?.stop();
  running = null;
  opened = route;
  aside.hidden = route === null;
  aside.replaceChildren();
  if (route === null) return;
  const facts = h("div");
  const endpoints = h("div");
  const history = h("div");
  aside.append(
    h("h2", {}, route, " ", h("button", { "aria-label": "Close the details", onclick: () => (location.hash = location.hash.split("?")[0]) }, "×")),
    facts,
    h("h3", {}, "Endpoints"),
    endpoints,
    h("h3", {}, "Why this endpoint?"),
    explainBox(route),
    h("h3", {}, "History"),
    history,
  );

  async function refresh() {
    const path = `/v1/routes/${segment(route)}`;
    try {
      drawHistory(history, (await get(`${path}/history`)).changes);
      const found = await get(path);
      drawFacts(facts, found);
      drawEndpoints(endpoints, found, context, refresh);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 404) throw error;
      facts.replaceChildren(h("p", { class: "warn" }, "This route is gone."));
      endpoints.replaceChildren();
    }
  }

  running = repeat(3, refresh, context.failed);
}

function drawFacts(place, route) {
  const counts = route.counts;
  const parts = [
    `Balanced by ${route.algorithm || "the router's default"}.`,
    route.route_service_url ? ` Requests visit the route service ${route.route_service_url}.` : "",
    counts
      ? ` ${amount(counts.requests)} requests since it is known, ${percent(counts.requests ? counts.errors / counts.requests : 0)} errors, ` +
        `${amount(counts.retries)} retries.`
      : "",
  ];
  place.replaceChildren(h("p", { class: "quiet" }, parts.join("")));
}

function stateOf(endpoint) {
  if (endpoint.state !== "failed") return h("span", { class: endpoint.state === "active" ? "good" : "warn" }, endpoint.state);
  const failure = endpoint.last_failure;
  return h("span", { class: "bad" }, failure ? `failed: ${failure.reason}, ${span(failure.age)} ago` : "failed");
}

function drawEndpoints(place, route, context, refresh) {
  const columns = [
    { title: "Endpoint", cell: (row) => h("span", { class: "mono" }, row.id) },
    { title: "App", name: true, cell: (row) => `${row.app_id} ${row.instance_index}` },
    { title: "State", cell: stateOf },
    {
      title: "",
      cell: (row) => {
        const wanted = row.state === "draining" ? "active" : "draining";
        const change = async () => {
          await act("PATCH", `/v1/endpoints/${segment(row.id)}`, { state: wanted });
          await refresh();
        };
        return h("button", { onclick: () => change().catch(context.failed) }, wanted === "active" ? "Undrain" : "Drain");
      },
    },
    { title: "In flight", number: true, cell: (row) => amount(row.in_flight) },
    { title: "Age / TTL", number: true, cell: (row) => (row.ttl === null ? "–" : `${span(row.age)} / ${span(row.ttl)}`) },
    route.endpoints.some((row) => row.zone) ? { title: "Zone", cell: (row) => row.zone } : null,
  ].filter((column) => column !== null);
  const options = { key: (row) => row.id, empty: "There is none: requests get 503 or 404." };
  renew(place, table(`${amount(route.total)} endpoints`, columns, route.endpoints, options));
}

function drawHistory(place, changes) {
  const columns = [
    { title: "When", cell: (row) => clock(row.time) },
    { title: "What", cell: (row) => row.kind },
    { title: "Endpoint", cell: (row) => h("span", { class: "mono" }, row.endpoint || "") },
    { title: "Reason", name: true, cell: (row) => row.reason || "" },
  ];
  place.replaceChildren(table("Newest first", columns, changes));
}

const VERDICTS = {
  chosen: "chosen",
  by_chance: "possible: chance decides",
  full: "has as many requests as it may",
  draining: "is draining",
  other_zone: "is in another zone",
  failed: "is marked as failed",
  other_instance: "is not the instance that the header names",
  not_sticky: "is not the session's",
  busier: "has more requests in flight",
  not_its_turn: "comes later in the round",
  other_hash: "is not the one that the hash names",
  not_asked: "was not looked at",
};

function explainBox(route) {
  const method = h("input", { value: "GET", size: "7", "aria-label": "Method" });
  const url = h("input", { value: `http://${route}`, size: "34", "aria-label": "URL" });
  const headers = h("textarea", { rows: "2", placeholder: "Cookie: JSESSIONID=…; __VCAP_ID__=…", "aria-label": "Header lines" });
  const result = h("div", { role: "status" });

  async function explain() {
    const lines = headers.value.split("\n").filter((line) => line.includes(":"));
    const pairs = lines.map((line) => [line.slice(0, line.indexOf(":")).trim(), line.slice(line.indexOf(":") + 1).trim()]);
    const told = await act("POST", "/v1/explain", { method: method.value, url: url.value, headers: pairs });
    drawExplanation(result, told);
  }

  return h(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        explain().catch((error) => result.replaceChildren(h("p", { class: "bad" }, error.message)));
      },
    },
    h("div", { class: "bar" }, field("Method", method), " ", field("URL", url)),
    field("Headers", headers),
    h("div", { class: "buttons" }, h("button", {}, "Explain")),
    result,
  );
}

function drawExplanation(place, told) {
  const lines = [];
  if (told.status) lines.push(`The router answers with ${told.status}: ${told.message} (${told.router_error || "no router error"}).`);
  if (told.route) lines.push(`Matched ${told.route} by ${told.is_wildcard ? "a wildcard for " : ""}${told.host}${told.path}.`);
  if (told.visits_route_service) lines.push(`It goes to the route service ${told.route_service}.`);
  if (told.sticky) lines.push(`The session is of ${told.sticky}${told.is_sticky_there ? "" : ", which is gone"}.`);
  if (told.instance) lines.push(`A header names the instance ${told.instance}.`);
  if (told.prefers_zone) lines.push(`Endpoints of zone ${told.prefers_zone} go first.`);
  if (told.forgets_marks) lines.push("All endpoints are marked as failed, so marks do not count.");
  const columns = [
    { title: "Endpoint", cell: (row) => h("span", { class: "mono" }, row.address) },
    {
      title: "Why",
      name: true,
      cell: (row) =>
        h("span", { class: row.verdict === "chosen" || row.verdict === "by_chance" ? "good" : "quiet" },
          (VERDICTS[row.verdict] || row.verdict) + (row.failed_ago === null ? "" : ` (${row.failure}, ${span(row.failed_ago)} ago)`)),
    },
    { title: "In flight", number: true, cell: (row) => amount(row.in_flight) },
  ];
  place.replaceChildren(
    h("p", {}, lines.join(" ")),
    told.candidates.length ? table(`By ${told.algorithm}`, columns, told.candidates) : h("span"),
  );
}
