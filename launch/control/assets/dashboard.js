"use strict";
// Draws the board that the launch sends. Text only ever goes in as text, never as markup.

const WORDS = {
  zh: {
    rehearsal: "演练", faster: "倍速", of: "计划共", hours: "小时", ticked: "已打勾", crossed: "未通过", not_checked: "未检查",
    waiting: "等待", running: "进行中", passed: "通过", now: "正在运行", idle: "没有正在运行的关卡", ended: "上线流程已结束",
    until: "下一个窗口", canary: "灰度流量", stable: "稳定版", canarySide: "灰度版", perSecond: "请求/秒", requests: "请求", errors: "错误",
    limit: "回滚上限", evidence: "证据强度 e（对数）", weight: "灰度权重", record: "上线记录", entries: "条，默克尔根", checklist: "清单",
    log: "日志", live: "实时", lost: "连接中断", window: "窗口", measured: "测量值", notCovered: "不含：", owner: "负责人", sign: "签字", other: "EN",
    attempt: "第 {n} 次", preparing: "准备中", seconds: "秒",
  },
  en: {
    rehearsal: "REHEARSAL", faster: "× real time", of: "of", hours: "h", ticked: "ticked", crossed: "crossed", not_checked: "not checked",
    waiting: "waiting", running: "running", passed: "passed", now: "Running now", idle: "No gate is running", ended: "The launch has ended",
    until: "Next window", canary: "Canary traffic", stable: "stable", canarySide: "canary", perSecond: "requests/s", requests: "requests", errors: "errors",
    limit: "rollback limit", evidence: "evidence e (log scale)", weight: "canary weight", record: "Launch record", entries: "entries, Merkle root", checklist: "Checklist",
    log: "Log", live: "live", lost: "connection lost", window: "window", measured: "Measured", notCovered: "Not covered: ", owner: "Owner", sign: "sign-off", other: "中文",
    attempt: "attempt {n}", preparing: "Preparing", seconds: "s",
  },
};

let language = new URLSearchParams(location.search).get("lang");
if (language !== "en" && language !== "zh") {
  try { language = localStorage.getItem("language"); } catch { language = null; }
}
if (language !== "en" && language !== "zh") language = navigator.language.startsWith("zh") ? "zh" : "en";
let board = null;
let linked = false;
const opened = new Set();

const byId = (id) => document.getElementById(id);
const t = (key) => WORDS[language][key];
const say = (words) => (words ? words[language] || words.en || words.zh : "");

function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "class") node.className = value; else node.setAttribute(key, value);
  }
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}
function svg(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
const fill = (node, ...children) => node.replaceChildren(...children.filter((c) => c !== null && c !== undefined));

function planHours() {
  if (!board || !board.started_at_ms) return 0;
  const end = board.ended_at_ms || Date.now();
  return Math.max(0, ((end - board.started_at_ms) * board.scale) / 3_600_000);
}
function stamp(hours) {
  const minutes = Math.floor(hours * 60);
  return `T+${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
}
const hour = (h) => (Number.isInteger(h) ? String(h) : h.toFixed(1));

function drawClock() {
  const hours = planHours();
  byId("clock").textContent = board && board.started_at_ms ? stamp(hours) : "T+--:--";
  const total = (board && board.plan_hours) || 48;
  const past = byId("rail").querySelector(".past");
  if (past) past.style.width = `${Math.min(100, (hours / total) * 100)}%`;
}

function drawHero() {
  const total = board.plan_hours || 48;
  byId("of").textContent = `${t("of")} ${hour(total)} ${t("hours")}`;
  fill(byId("totals"), ...["ticked", "crossed", "not_checked"].map((key) =>
    el("div", { class: `total ${key}${board[key] === 0 ? " zero" : ""}` }, el("b", {}, String(board[key])), el("span", {}, t(key)))));
  const marks = new Set([0, total]);
  for (const item of board.items) { marks.add(item.from_h); marks.add(item.to_h); }
  const nodes = [el("div", { class: "track" }), el("div", { class: "past" })];
  const sorted = [...marks].filter((m) => m >= 0 && m <= total).sort((a, b) => a - b);
  sorted.forEach((m, i) => {
    const mark = el("div", { class: `mark${i === 0 ? " first" : ""}${i === sorted.length - 1 ? " last" : ""}` }, el("span", {}, `T+${hour(m)} h`));
    mark.style.left = `${(m / total) * 100}%`;
    nodes.push(mark);
  });
  fill(byId("rail"), ...nodes);
}

function measures(gates) {
  const rows = [];
  for (const gate of gates) {
    if (gate.measurements.length === 0) continue;
    rows.push(el("span", { class: "gate-name" }, gate.id + (gate.attempt > 1 ? ` · ${t("attempt").replace("{n}", gate.attempt)}` : "")));
    for (const [name, value] of gate.measurements) rows.push(el("span", {}, name), el("b", {}, value));
  }
  return rows;
}

function drawItem(item) {
  const head = el("div", { class: "head" },
    el("span", { class: "number" }, String(item.number)),
    el("h2", {}, say(item.title)),
    el("span", { class: "window" }, `T+${hour(item.from_h)}–${hour(item.to_h)} h`),
    el("span", { class: `standing ${item.standing}` }, t(item.standing)));
  const rest = el("div", { class: "rest" });
  const chips = item.gates.map((gate) => {
    const sign = { ticked: "✓ ", crossed: "✗ ", running: "▶ ", not_checked: "– ", waiting: "" }[gate.standing];
    return el("span", { class: `chip ${gate.standing}`, title: gate.expect.join("\n") }, sign + gate.id);
  });
  for (const sign of item.sign_offs) {
    chips.push(el("span", { class: `chip sign ${sign.at_ms ? "ticked" : "waiting"}`, title: sign.statement }, `✍ ${sign.role}${sign.at_ms ? " ✓" : ""}`));
  }
  if (chips.length) rest.append(el("div", { class: "gates" }, ...chips));
  const reasons = [...item.reasons];
  if (item.not_covered) reasons.push(t("notCovered") + say(item.not_covered));
  if (reasons.length && item.standing !== "waiting") rest.append(el("ul", { class: "reasons" }, ...reasons.map((r) => el("li", {}, r))));
  const rows = measures(item.gates);
  if (rows.length) {
    const details = el("details", {}, el("summary", {}, t("measured")), el("div", { class: "measures" }, ...rows));
    details.open = opened.has(item.id);
    details.addEventListener("toggle", () => (details.open ? opened.add(item.id) : opened.delete(item.id)));
    rest.append(details);
  }
  return el("article", { class: `item ${item.standing}` }, head, el("p", { class: "criterion" }, say(item.criterion)), rest);
}

function drawRunning() {
  const run = board.running;
  if (!run) {
    const text = board.phase === "finished" || board.phase === "failed" ? t("ended") : board.phase === "preparing" ? t("preparing") : t("idle");
    const next = board.phase === "running" && board.items.filter((i) => i.from_h > planHours()).map((i) => i.from_h).sort((a, b) => a - b)[0];
    fill(byId("running"), el("h2", {}, t("now")), el("h3", {}, text), next ? el("p", {}, `${t("until")}: T+${hour(next)} h`) : null);
    return;
  }
  const item = board.items.find((i) => i.id === run.item);
  const bar = el("div", { class: `bar${run.fraction === null ? " unknown" : ""}` }, el("i", {}));
  if (run.fraction !== null) bar.firstChild.style.width = `${Math.round(run.fraction * 100)}%`;
  fill(byId("running"), el("h2", {}, t("now")),
    el("h3", {}, `${item ? `${item.number} ${say(item.title)} · ` : ""}${run.gate}`),
    bar, el("p", {}, run.text || run.kind));
}

function drawCanary() {
  const c = board.canary;
  byId("canary").hidden = !c;
  if (!c) return;
  const stable = el("div", { class: "stable" }, `${c.stable.version} ${c.stable.weight_percent}%`);
  const canary = el("div", { class: "canary" }, c.canary.weight_percent >= 12 ? `${c.canary.version} ${c.canary.weight_percent}%` : "");
  stable.style.width = `${c.stable.weight_percent}%`;
  canary.style.width = `${c.canary.weight_percent}%`;
  const side = (s, name, cls) => el("div", { class: `side ${cls}` },
    el("span", {}, `${name} ${s.version}`), el("b", {}, s.per_second.toFixed(1)), el("span", {}, t("perSecond")),
    el("span", {}, `${s.requests.toLocaleString("en")} ${t("requests")}`),
    el("span", { class: s.errors > 0 ? "bad" : "" }, `${s.errors.toLocaleString("en")} ${t("errors")}`));
  fill(byId("canary"), el("h2", {}, t("canary")),
    el("div", { class: "split" }, stable, canary),
    el("div", { class: "sides" }, side(c.stable, t("stable"), ""), side(c.canary, t("canarySide"), "canary")),
    drawChart(c), c.sentence ? el("p", {}, c.sentence) : null,
    c.steps.length ? el("ul", { class: "steps" }, ...c.steps.slice(-6).map((s) => el("li", {}, s))) : null);
}

function drawChart(c) {
  const w = 480, h = 190, left = 8, right = 8, top = 26, bottom = 24;
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": t("evidence") });
  const looks = c.looks;
  const last = Math.max(10, ...looks.map((l) => l.t_s));
  const limit = c.ln_limit;
  const highest = Math.max(limit * 1.25, ...looks.map((l) => Math.min(l.ln_e, limit * 3)));
  const lowest = Math.min(-limit * 0.35, ...looks.map((l) => Math.max(l.ln_e, -limit * 1.2)));
  const x = (s) => left + (s / last) * (w - left - right);
  const y = (e) => top + ((highest - Math.min(Math.max(e, lowest), highest)) / (highest - lowest)) * (h - top - bottom);
  if (looks.length > 1) {
    let area = `M${x(looks[0].t_s)},${h - bottom}`;
    let before = null;
    for (const l of looks) {
      const level = h - bottom - (l.weight_percent / 100) * (h - top - bottom);
      area += before === null ? `V${level}` : `H${x(l.t_s)}V${level}`;
      before = level;
    }
    chart.append(svg("path", { class: "weight", d: `${area}V${h - bottom}Z` }));
  }
  chart.append(svg("line", { class: "grid", x1: left, x2: w - right, y1: y(0), y2: y(0) }));
  chart.append(svg("line", { class: "limit", x1: left, x2: w - right, y1: y(limit), y2: y(limit) }));
  chart.append(svg("text", { class: "limit-text", x: left + 2, y: y(limit) - 5 }, `${t("limit")} e ≥ ${Math.round(Math.exp(limit)).toLocaleString("en")}`));
  chart.append(svg("text", { x: left + 2, y: 16 }, t("evidence")));
  chart.append(svg("text", { x: left + 2, y: h - 7 }, "0"));
  chart.append(svg("text", { x: w - right, y: h - 7, "text-anchor": "end" }, `${Math.round(last)} ${t("seconds")}`));
  chart.append(svg("text", { x: w / 2, y: h - 7, "text-anchor": "middle" }, `▮ ${t("weight")}`));
  if (looks.length) chart.append(svg("polyline", { class: "e", points: looks.map((l) => `${x(l.t_s).toFixed(1)},${y(l.ln_e).toFixed(1)}`).join(" ") }));
  return chart;
}

function draw() {
  if (!board) return;
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = `${board.rehearsal ? `${t("rehearsal")} · ` : ""}T-minus ${board.name}`;
  byId("language").textContent = t("other");
  const mark = byId("rehearsal");
  mark.hidden = !board.rehearsal;
  const scale = Math.round(board.scale * 10) / 10;
  mark.textContent = language === "zh" ? `演练 REHEARSAL · ${scale} 倍速` : `REHEARSAL 演练 · ×${scale} real time`;
  byId("name").textContent = [board.name, board.version].filter(Boolean).join(" · ");
  const link = byId("link");
  link.className = `link ${linked ? "on" : "off"}`;
  fill(link, el("span", {}, linked ? t("live") : t("lost")));
  byId("trouble").hidden = !board.trouble;
  if (board.trouble) fill(byId("trouble"), el("pre", {}, board.trouble));
  drawHero();
  fill(byId("items"), ...board.items.map(drawItem));
  drawRunning();
  drawCanary();
  fill(byId("record"), el("h2", {}, t("record")), el("h3", {}, `${board.record_size} ${t("entries")}`), el("div", { class: "hash" }, board.record_root || "–"),
    board.checklist ? el("p", {}, `${t("checklist")}: ${board.checklist.file} · sha256 ${board.checklist.sha256}`) : null);
  byId("log-title").textContent = t("log");
  fill(byId("log"), ...[...board.log].reverse().map((line) => el("li", {}, line)));
  drawClock();
}

byId("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  try { localStorage.setItem("language", language); } catch { /* private mode */ }
  draw();
});
const source = new EventSource("/api/events");
source.onmessage = (message) => { board = JSON.parse(message.data); linked = true; draw(); };
source.onerror = () => { if (board && (board.phase === "finished" || board.phase === "failed")) source.close(); linked = false; draw(); };
setInterval(() => { if (board) drawClock(); }, 200);
