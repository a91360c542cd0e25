"use strict";
// Asks for the figures every few seconds and writes them into the page. Whatever is shown is set as text, never as
// markup: names of models are what callers sent.

const here = document.body.dataset.here;
const at = (id) => document.getElementById(id);
const number = (value) => Math.round(value).toLocaleString();
const PAUSE = 3000, DAYS_EVERY = 20;
let key = "", before = null, round = 0, timer = 0;

function cell(row, text, kind) {
  const made = row.insertCell();
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function fill(body, items, write) {
  const rows = items.map((item) => {
    const row = document.createElement("tr");
    write(row, item);
    return row;
  });
  body.replaceChildren(...rows);
}

function showNow(data) {
  const last = before && before.totals.requests <= data.totals.requests ? before : null;
  const seconds = last ? data.now - last.now : 0;
  const rate = (of) => (seconds > 0 ? ((of(data.totals) - of(last.totals)) / seconds).toFixed(1) : "–");
  const pairs = [
    ["Requests running", number(data.active)],
    ["Requests / s", rate((totals) => totals.requests)],
    ["Tokens / s", rate((totals) => totals.input + totals.output)],
    ["Requests", number(data.totals.requests)],
    ["Failed", number(data.totals.failed)],
    ["Input tokens", number(data.totals.input)],
    ["Output tokens", number(data.totals.output)],
  ];
  if (data.ledger) {
    pairs.push(["Ledger: rows waiting", number(data.ledger.queue)]);
    if (data.ledger.dropped) pairs.push(["Ledger: rows lost", number(data.ledger.dropped)]);
  }
  at("now").replaceChildren(...pairs.map(([name, value]) => {
    const box = document.createElement("div");
    const term = document.createElement("dt");
    const told = document.createElement("dd");
    term.textContent = name;
    told.textContent = value;
    box.append(term, told);
    return box;
  }));
  before = data;
}

function showWorkers(targets) {
  const workers = targets.flatMap((target) => target.workers.map((worker) => ({ target, worker })));
  fill(at("workers"), workers, (row, { target, worker }) => {
    cell(row, `${target.name} (${target.provider})`);
    cell(row, worker.name);
    cell(row, worker.state, worker.state === "ready" ? "good" : "bad");
    cell(row, worker.breaker.replace("_", " "), worker.breaker === "closed" ? "good" : "bad");
    cell(row, number(worker.load));
    cell(row, worker.cooling > 0 ? `${Math.ceil(worker.cooling)} s` : "–", worker.cooling > 0 ? "bad" : "");
    cell(row, number(target.waiting));
  });
}

function showDays(days) {
  at("spent").hidden = !days;
  if (!days) return;
  const size = (day) => (days.some((one) => one.cost) ? day.cost : day.input + day.output);
  const most = Math.max(1, ...days.map(size));
  fill(at("days"), [...days].reverse(), (row, day) => {
    cell(row, day.day);
    cell(row, number(day.requests));
    cell(row, number(day.failed), day.failed ? "bad" : "");
    cell(row, number(day.input));
    cell(row, number(day.output));
    cell(row, `$${(day.cost / 1e6).toFixed(day.cost < 1e6 ? 4 : 2)}${day.unpriced ? " +" : ""}`)
      .title = day.unpriced ? `${number(day.unpriced)} requests have no known price` : "";
    const bar = document.createElement("div");
    bar.className = "bar";
    bar.style.width = `${(100 * size(day)) / most}%`;
    cell(row, "").append(bar);
  });
}

function showErrors(errors) {
  at("fine").hidden = errors.length > 0;
  at("failed").hidden = errors.length === 0;
  fill(at("errors"), errors, (row, error) => {
    cell(row, new Date(error.at * 1000).toLocaleString());
    cell(row, error.endpoint);
    cell(row, error.model || "–");
    cell(row, error.target || "–");
    cell(row, String(error.status || "–"));
    cell(row, error.code || error.outcome, "bad");
    cell(row, error.id);
  });
}

function show(data) {
  at("door").hidden = true;
  at("figures").hidden = false;
  at("version").textContent = data.version;
  at("state").textContent = `As of ${new Date(data.now * 1000).toLocaleTimeString()}`;
  showNow(data);
  showWorkers(data.targets);
  if (data.days !== undefined) showDays(data.days);
  showErrors(data.errors);
}

async function ask() {
  const days = round++ % DAYS_EVERY === 0;
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  const answer = await fetch(`${here}/data${days ? "?days=1" : ""}`, { headers, cache: "no-store" });
  if (answer.status === 401 || answer.status === 403) {
    at("door").hidden = false;
    at("figures").hidden = true;
    at("state").textContent = key ? "That key does not have one of the roles." : "";
    return false;
  }
  if (!answer.ok) throw new Error(String(answer.status));
  show(await answer.json());
  return true;
}

async function keepAsking() {
  clearTimeout(timer);
  let goOn = true;
  try {
    if (!document.hidden) goOn = await ask();
  } catch {
    at("state").textContent = "The gateway does not answer; trying again.";
  }
  if (goOn) timer = setTimeout(keepAsking, PAUSE);
}

at("door").addEventListener("submit", (event) => {
  event.preventDefault();
  key = at("key").value.trim();
  at("key").value = "";
  round = 0;
  keepAsking();
});
keepAsking();
