// Draws what GET /api/v1/ops/lag says, every few seconds. Names come from the cluster, so they only ever become text.
"use strict";

const LINES = 6;
const WORDS = {
  OK: "OK", UNKNOWN: "Not known yet", BEHIND: "Behind", REWOUND: "Rewound", STALLED: "Stalled", STOPPED: "Stopped", LOST: "Lost records",
};
const DAY = 86400;
const STEPS = { // of the chart's scale: whole records, and times people use
  lag: Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat(),
  lag_s: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, DAY, 2 * DAY, 5 * DAY, 10 * DAY, 30 * DAY, 100 * DAY],
};
const GRAVITY = Object.keys(WORDS);
const at = (id) => document.getElementById(id);
const count = new Intl.NumberFormat("en");
const open = new Set();
let measure = "lag";
let groups = [];
let lines = []; // group names in the chart, in colour order, kept stable between looks
let plot = null;
let timer = null;

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function span(seconds) {
  if (seconds === null) return "–";
  const whole = Math.round(seconds);
  for (const [unit, size, smaller, part] of [["d", 86400, "h", 3600], ["h", 3600, "m", 60], ["m", 60, "s", 1]]) {
    if (whole >= size) {
      const rest = Math.floor((whole % size) / part);
      return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${smaller}` : ""}`;
    }
  }
  return `${whole} s`;
}

const records = (lag) => (lag === null ? "unknown" : count.format(lag));

function outlook(one) {
  if (one.lag === 0) return "clear";
  if (one.eta_s !== null) return `clears in ${span(one.eta_s)}`;
  if (one.lag === null) return "unknown";
  return one.status === "OK" ? "keeps up" : "does not shrink";
}

function pill(status) {
  return make("span", `status ${status.toLowerCase()}`, WORDS[status] ?? status);
}

function cell(row, className, content) {
  const td = row.appendChild(make("td", className));
  td.append(content);
  return td;
}

function groupRow(group, id) {
  const row = make("tr");
  const button = make("button", "", group.group);
  button.type = "button";
  button.dataset.group = group.group;
  button.setAttribute("aria-expanded", String(open.has(group.group)));
  button.setAttribute("aria-controls", id);
  button.addEventListener("click", () => {
    if (!open.delete(group.group)) open.add(group.group);
    drawTable();
  });
  cell(row, "group", button);
  const status = cell(row, "", pill(group.status));
  if (group.status !== "OK") status.append(make("div", "soft", group.rule));
  cell(row, "number", records(group.lag));
  cell(row, "number", span(group.lag_s));
  cell(row, "soft outlook", outlook(group));
  cell(row, "number", group.state === "Unknown" ? "unknown" : String(group.members.length));
  return row;
}

function partitionRow(one) {
  const row = make("tr");
  cell(row, "", `${one.topic} [${one.partition}]`);
  cell(row, "", pill(one.status));
  cell(row, "number", records(one.lag));
  cell(row, "number", span(one.lag_s));
  const rule = cell(row, "rule", one.rule);
  rule.append(make("div", "", `committed ${one.committed === null ? "never" : count.format(one.committed)} of `
    + `${count.format(one.start)} to ${count.format(one.end)} · ${outlook(one)} · ${one.samples.length} samples`));
  cell(row, "soft", one.owner ?? "nobody");
  return row;
}

function detailsRow(group, id) {
  const row = make("tr", "details");
  row.id = id;
  row.hidden = !open.has(group.group);
  const td = row.appendChild(make("td"));
  td.colSpan = 6;
  if (row.hidden) return row;
  const table = td.appendChild(make("div", "inner")).appendChild(make("table"));
  table.appendChild(make("caption", "soft", `Partitions of ${group.group}, state ${group.state}`));
  const head = table.createTHead().insertRow();
  for (const [name, className] of [["Partition"], ["Status"], ["Waiting", "number"], ["Oldest", "number"], ["Rule"], ["Owner"]]) {
    head.appendChild(make("th", className ?? "", name)).scope = "col";
  }
  const body = table.createTBody();
  group.partitions.forEach((one) => body.append(partitionRow(one)));
  return row;
}

function drawTable() {
  const focused = document.activeElement?.dataset?.group;
  const rows = groups.flatMap((group, place) => [groupRow(group, `partitions-${place}`), detailsRow(group, `partitions-${place}`)]);
  at("groups").replaceChildren(...rows);
  if (focused) [...document.querySelectorAll("[data-group]")].find((one) => one.dataset.group === focused)?.focus();
}

function drawHeadline() {
  const unwell = groups.filter((group) => group.status !== "OK");
  const worst = groups.reduce((most, group) => Math.max(most, group.lag_s ?? 0), 0);
  at("headline").textContent = groups.length === 0 ? "No consumer group yet"
    : unwell.length === 0 ? "Every group keeps up"
    : unwell.length === 1 ? `${unwell[0].group}: ${WORDS[unwell[0].status].toLowerCase()}`
    : `${unwell.length} of ${groups.length} groups need a look`;
  at("summary").textContent = worst > 0 ? `The oldest record nobody has finished is ${span(worst)} old.` : "Nothing waits.";
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function chartData() {
  const times = [...new Set(groups.flatMap((group) => group.history.map(([when]) => when)))].sort((a, b) => a - b);
  const column = measure === "lag" ? 1 : 2;
  const series = lines.map((name) => {
    const points = new Map((groups.find((group) => group.group === name)?.history ?? []).map((point) => [point[0], point[column]]));
    return times.map((when) => points.get(when) ?? null);
  });
  return [times, ...series];
}

function chartOptions() {
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "13px system-ui" };
  const figure = measure === "lag" ? (value) => count.format(value) : span;
  return {
    width: at("chart").clientWidth, height: 260, legend: { show: false }, cursor: { y: false, points: { size: 7 } },
    padding: [8, 20, 0, 0],
    scales: { y: { range: (_, __, most) => [0, Math.max(measure === "lag" ? 4 : 10, (most ?? 0) * 1.1)] } },
    axes: [
      { ...axis, grid: { show: false }, size: 32, space: 90, values: (_, ticks) => ticks.map(clock) },
      { ...axis, size: 76, incrs: STEPS[measure], values: (_, ticks) => ticks.map(figure) },
    ],
    series: [{}, ...lines.map((name, place) => ({ label: name, stroke: colour(`--line-${place}`), width: 2, points: { show: false } }))],
  };
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB", seconds % 60 ? {} : { hour: "2-digit", minute: "2-digit" });
}

function chooseLines() {
  const kept = lines.filter((name) => groups.some((group) => group.group === name));
  const peak = (group) => Math.max(0, ...group.history.map((point) => point[1] ?? 0));
  const others = groups.filter((group) => !kept.includes(group.group)).sort((a, b) => peak(b) - peak(a)).map((group) => group.group);
  return [...kept, ...others].slice(0, LINES);
}

function drawLegend() {
  const items = lines.map((name, place) => make("li", `line-${place}`, name));
  if (groups.length > lines.length) items.push(make("li", "rest", `and ${groups.length - lines.length} more in the table`));
  at("legend").replaceChildren(...items);
}

function drawChart(anew) {
  const chosen = chooseLines();
  const changed = chosen.join("\n") !== lines.join("\n");
  lines = chosen;
  if (plot && !changed && !anew) {
    plot.setData(chartData());
    return;
  }
  plot?.destroy();
  plot = new uPlot(chartOptions(), chartData(), at("chart"));
  drawLegend();
}

function draw(answer) {
  groups = answer.data.groups.sort((a, b) => GRAVITY.indexOf(b.status) - GRAVITY.indexOf(a.status) || (b.lag ?? 0) - (a.lag ?? 0));
  const { sampled_at: sampledAt, interval_s: interval, trouble } = answer.meta;
  say(trouble && `Kafka is not answering, so these figures are old. Trying again every ${interval} s. (${trouble})`);
  at("pulse").textContent = sampledAt ? `as of ${new Date(sampledAt * 1000).toLocaleTimeString("en-GB")}` : "first look under way";
  at("login").hidden = true;
  at("board").hidden = groups.length === 0;
  if (sampledAt) drawHeadline();
  if (groups.length > 0) {
    drawTable();
    drawChart(false);
  }
  return sampledAt ? interval * 1000 : 1000;
}

function say(words) {
  at("trouble").hidden = !words;
  at("trouble").textContent = words || "";
}

function askToLogIn(status) {
  at("board").hidden = true;
  at("login").hidden = false;
  at("headline").textContent = "Lag of the consumer groups";
  at("pulse").textContent = "";
  at("login-text").textContent = status === 401
    ? "Lag shows how the whole installation is doing. Log in to see it."
    : "You are logged in, but without the permission ops:read. Log in as an operator, or ask one for it.";
  return 30000;
}

async function look() {
  const answer = await fetch("/api/v1/ops/lag", { headers: { accept: "application/json" }, credentials: "same-origin" });
  if (answer.status === 401 || answer.status === 403) return askToLogIn(answer.status);
  if (!answer.ok) throw new Error(`answer ${answer.status}`);
  return draw(await answer.json());
}

async function watch() {
  clearTimeout(timer);
  let pause = 10000;
  try {
    pause = await look();
  } catch (error) {
    say(`The API is not answering (${error.message}). Trying again in 10 s.`);
  }
  if (!document.hidden) timer = setTimeout(watch, pause);
}

document.addEventListener("visibilitychange", () => document.hidden ? clearTimeout(timer) : watch());
new ResizeObserver(() => plot?.setSize({ width: at("chart").clientWidth, height: 260 })).observe(at("chart"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot && drawChart(true));
for (const button of document.querySelectorAll("[data-measure]")) {
  button.addEventListener("click", () => {
    measure = button.dataset.measure;
    document.querySelectorAll("[data-measure]").forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
    drawChart(true);
  });
}
watch();
