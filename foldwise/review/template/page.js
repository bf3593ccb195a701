// Which image is shown, what is answered, and by which key. The next images are fetched before they
// are asked for, and an answer does not wait for its way to the disk: a key is answered at once.
import { byId, drawClasses, drawNeighbours, drawProgress, focusClass, make, spoken, worded } from "./view.js";

const AHEAD = 3;
const KEPT = 12;

const start = await asked("start");
const total = start.total;
let answered = [...start.answered].map((each) => each === "1");
const underway = new Map(); // of images whose answers are on their way: how many
const complete = new Set(); // of these, those of which nothing more is asked
const skipped = new Set();
const history = []; // of this window: {number, rows}, `rows` a promise
const loaded = new Map(); // by number a promise of {item, picture}
let number = 0;
let item = null;
let selected = 0;
let choosing = false;
let heated = false;
let turn = 0;
let line = Promise.resolve(); // what is sent, one after the other

async function asked(path, body) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Error("the server has ended: start `python -m foldwise review` again, and open its new address");
  }
  const content = await reply.json().catch(() => ({ error: `refused (${reply.status})` }));
  if (!reply.ok) throw Object.assign(new Error(content.error), { content });
  return content;
}

function say(text) {
  byId("said").textContent = text;
}

function complain(text) {
  byId("alert").textContent = text;
  byId("alert").hidden = !text;
}

// Images.

async function fetched(which, also = []) {
  const query = also.map((each) => `also=${each}`).join("&");
  return pictured(await asked(`item/${which}${query && `?${query}`}`));
}

async function pictured(found) {
  const picture = make("img", "");
  picture.src = `image?id=${encodeURIComponent(found.id)}`;
  picture.alt = `image ${found.id}`;
  await picture.decode().catch(() => {});
  return { item: found, picture };
}

function load(which) {
  if (!loaded.has(which)) {
    const found = fetched(which);
    found.catch(() => loaded.delete(which));
    loaded.set(which, found);
    for (const each of loaded.keys()) {
      if (loaded.size <= KEPT) break;
      loaded.delete(each);
    }
  }
  return loaded.get(which);
}

const isDone = (which) => answered[which] || complete.has(which);

/** The next image after one that is not answered, skipped ones last; null where there is none. */
function following(which, without = new Set()) {
  for (const passed of [skipped, new Set()]) {
    for (let step = 1; step <= total; step++) {
      const each = (which + step) % total;
      if (!isDone(each) && !passed.has(each) && !without.has(each)) return each;
    }
  }
  return null;
}

function prefetch() {
  const without = new Set([number]);
  for (let step = 0, each = number; step < AHEAD; step++) {
    each = following(each, without);
    if (each === null) return;
    without.add(each);
    load(each).catch(() => {});
  }
}

/** Go to an image. */
async function show(which, before = "") {
  const own = ++turn;
  let found;
  try {
    found = await load(which);
  } catch (error) {
    // What was not saved must stay told.
    if (byId("alert").hidden) complain(error.message);
    return;
  }
  if (own !== turn) return;
  if (answered[which] && !underway.has(which) && !isComplete(found.item)) {
    // Answered in another window since it was fetched.
    loaded.delete(which);
    found = await load(which).catch(() => found);
    if (own !== turn) return;
  }
  number = which;
  item = found.item;
  choosing = false;
  selected = firstAsked();
  byId("picture").replaceChildren(found.picture);
  setHeat(false);
  byId("place").textContent = `${number + 1} of ${total}`;
  byId("id").textContent = item.part === "test" ? `${item.id} (test part)` : item.id;
  drawNeighbours("alike", item.alike);
  drawNeighbours("near", item.near);
  draw();
  byId("classes").parentElement.scrollTop = 0;
  document.documentElement.dataset.shown = String(number);
  say(`${before}Image ${number + 1} of ${total}. ${described()}`);
  // After the browser has drawn this one.
  setTimeout(prefetch);
}

// One image.

const given = () => item.classes.findIndex((row) => row.label === 1);
const isAsked = (row) => row.asked.length > 0;

function isComplete(one) {
  const rows = one.classes.filter(isAsked);
  return start.single ? one.classes.some((row) => row.answer) : rows.every((row) => row.answer);
}

/** Where to begin: of one label the likeliest other one, else the first that is not answered. */
function firstAsked() {
  if (!start.single) {
    const open = item.classes.findIndex((row) => isAsked(row) && !row.answer);
    return Math.max(0, open);
  }
  let best = -1;
  item.classes.forEach((row, place) => {
    if (row.label !== 1 && (best < 0 || row.p > item.classes[best].p)) best = place;
  });
  return Math.max(0, best);
}

function described() {
  const place = given();
  if (!start.single) return `Is this right? ${spoken(item.classes[selected])}`;
  const other = item.classes[selected];
  return place < 0 ? "It has no label." : `${spoken(item.classes[place])}. Likelier: ${other.name}, ${other.p.toFixed(2)}`;
}

function draw() {
  drawClasses(item, selected, chosen);
  const done = isComplete(item);
  byId("state").textContent = done ? "Answered. Another answer takes the place of this one." : start.single ? item.why.join("; ") : "";
  byId("hint").textContent = hint();
  drawProgress(answered.map((_, each) => isDone(each)), total);
  byId("undo").disabled = !history.length && !answered.some(Boolean);
}

function hint() {
  const row = item.classes[selected];
  if (choosing) return "Which class instead? A digit, or choose it and press W or Enter; Escape goes back.";
  if (!start.single) return `Is "${row.name}: ${worded(row.label)}" right?`;
  const place = given();
  return place < 0 ? "It has no label." : `Is "${item.classes[place].name}" right?`;
}

function select(place) {
  selected = (place + item.classes.length) % item.classes.length;
  draw();
  byId("classes").children[selected].scrollIntoView({ block: "nearest" });
  say(spoken(item.classes[selected]));
  if (heated) drawHeat();
}

/** A class was clicked, or its digit pressed. */
function chosen(place) {
  if (place >= item.classes.length) return;
  if (choosing) {
    selected = place;
    wrong();
  } else select(place);
}

function digit(place) {
  if (place >= item.classes.length) return;
  selected = place;
  choosing = start.single;
  wrong();
}

// Answers.

function wrong() {
  if (!start.single) return answer("wrong");
  if (!choosing) {
    choosing = true;
    draw();
    focusClass(selected);
    say(`Which class instead? ${spoken(item.classes[selected])}`);
    return undefined;
  }
  if (selected === given()) {
    say("It is labelled so. If that is right, press R.");
    return undefined;
  }
  return answer("wrong");
}

function answer(kind) {
  if (!item) return;
  const row = item.classes[selected];
  // Another window may have changed them since: then this answer was about something else.
  const seen = start.single ? item.classes : [row];
  const shown = seen.map((each) => [each.index, each.label]);
  const sent = { number, answer: kind, index: row.index, note: byId("note").value, shown };
  if (start.single && kind === "wrong") sent.instead = row.index;
  byId("note").value = "";
  const wasComplete = isComplete(item);
  applied(row, kind);
  underway.set(number, (underway.get(number) ?? 0) + 1);
  const rows = sentAnswer(sent, item);
  rows.catch(() => {});
  history.push({ number, rows });
  const told = `${row.name}: ${kind}. `;
  const open = item.classes.findIndex((each) => isAsked(each) && !each.answer);
  if (!start.single && (open >= 0 || wasComplete)) {
    // The answer of a class that is asked about leads to the next one.
    if (open >= 0 && isAsked(row)) selected = open;
    if (open < 0) complete.add(number);
    draw();
    say(told + (open >= 0 ? described() : spoken(row)));
  } else {
    complete.add(number);
    goOn(told);
  }
}

/** What the page shows of an answer before the file has it. */
function applied(row, kind) {
  const changed = start.single && kind === "wrong";
  if (changed) for (const each of item.classes) each.label = each === row ? 1 : each.label === 1 ? 0 : each.label;
  else if (kind === "wrong") row.label = row.label === 1 ? 0 : 1;
  else if (kind === "unknown") row.label = -1;
  else if (kind === "unsure") for (const each of start.single ? item.classes : [row]) each.label = each.given;
  const told = start.single && !changed ? item.classes[given()] ?? row : row;
  // Right and wrong are said of the source's label, in the file as well.
  told.answer = kind === "unknown" || kind === "unsure" ? "unsure" : told.label === told.given ? "right" : "wrong";
}

function sentAnswer(sent, view) {
  const own = line.then(async () => {
    try {
      // What was pressed on top of an answer that did not count does not count either.
      if (view.refused) throw view.refused;
      const reply = await asked("answer", sent);
      complain("");
      landed(sent.number, reply.answered);
      return reply.rows;
    } catch (error) {
      view.refused = error;
      landed(sent.number, error.content?.answered);
      loaded.delete(sent.number);
      if (error.content?.item) loaded.set(sent.number, pictured(error.content.item));
      history.splice(0, history.length, ...history.filter((each) => each.rows !== own));
      complain(`Not saved: ${error.message}`);
      show(sent.number);
      throw error;
    }
  });
  line = own.catch(() => {});
  return own;
}

function landed(which, known) {
  const left = (underway.get(which) ?? 1) - 1;
  if (left > 0) underway.set(which, left);
  else {
    underway.delete(which);
    complete.delete(which);
  }
  if (known) answered = [...known].map((each) => each === "1");
  drawProgress(answered.map((_, each) => isDone(each)), total);
}

function goOn(told = "") {
  const next = following(number);
  if (next === null) {
    choosing = false;
    draw();
    say(`${told}All ${total} are answered.`);
    byId("hint").textContent = `All ${total} are answered.`;
    return;
  }
  show(next, told);
}

function skip() {
  skipped.add(number);
  const next = following(number, new Set([number]));
  if (next === null) say("This is the last one that is not answered.");
  else show(next, "Skipped. ");
}

function undo() {
  const last = history.pop();
  line = line.then(async () => {
    try {
      const reply = await asked("undo", last ? { rows: await last.rows } : {});
      answered = [...reply.answered].map((each) => each === "1");
      const which = reply.number ?? number;
      loaded.delete(which);
      complain("");
      await show(which, "Undone. ");
    } catch (error) {
      complain(error.message);
    }
  });
}

// Heat maps.

function setHeat(on) {
  heated = on;
  byId("heat").setAttribute("aria-pressed", String(on));
  byId("picture").querySelectorAll(".heat, .waiting").forEach((each) => each.remove());
}

async function drawHeat() {
  const own = turn;
  const row = item.classes[selected];
  setHeat(true);
  const waiting = make("span", "waiting", `looking for ${row.name} ...`);
  byId("picture").append(waiting);
  const reply = await fetch(`heat/${row.index}?id=${encodeURIComponent(item.id)}`).catch(() => null);
  const said = !reply ? "the server has ended" : reply.ok ? "" : (await reply.json()).error;
  const picture = make("img", "heat");
  if (!said) {
    const address = URL.createObjectURL(await reply.blob());
    picture.src = address;
    picture.alt = `where the network looks for ${row.name}`;
    await picture.decode().catch(() => {});
  }
  if (own !== turn || !heated || item.classes[selected] !== row) return;
  waiting.textContent = said ? `no heat map: ${said}` : `${row.name}`;
  if (!said) waiting.before(picture);
  say(waiting.textContent);
}

function heat() {
  if (!start.heated) return;
  if (heated) setHeat(false);
  else drawHeat();
}

// Keys, buttons and fields.

const actions = {
  __proto__: null,
  r: () => answer("right"),
  w: wrong,
  u: () => answer("unsure"),
  x: () => !start.single && answer("unknown"),
  s: skip,
  z: undo,
  h: heat,
  n: () => byId("note").focus(),
  "/": () => byId("search").focus(),
};
const moves = {
  __proto__: null,
  ArrowUp: () => select(selected - 1),
  ArrowDown: () => select(selected + 1),
  ArrowLeft: () => show((number + total - 1) % total),
  ArrowRight: () => show((number + 1) % total),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !item) return;
  if (event.key === "Escape") {
    choosing = false;
    event.target.blur?.();
    draw();
    return;
  }
  if (event.target.matches("input:not([type=checkbox])")) return;
  if (!byId("keys").checked) return;
  const key = event.key.toLowerCase();
  const action = /^[1-9]$/.test(key) ? () => digit(Number(key) - 1) : moves[event.key] ?? actions[key];
  if (!action) return;
  event.preventDefault();
  // A key that is held down must not answer one image after the other.
  if (!event.repeat || moves[event.key]) action();
});

const buttons = { right: "r", wrong: "w", unsure: "u", unknown: "x", skip: "s", undo: "z", heat: "h" };
for (const [id, key] of Object.entries(buttons)) byId(id).addEventListener("click", () => item && actions[key]());
byId("back").addEventListener("click", moves.ArrowLeft);
byId("forward").addEventListener("click", moves.ArrowRight);

byId("search").addEventListener("keydown", async (event) => {
  if (event.key !== "Enter") return;
  const index = start.classes.indexOf(event.target.value.trim());
  if (index < 0) {
    say("There is no such class.");
    return;
  }
  event.target.value = "";
  event.target.blur();
  let place = item.classes.findIndex((row) => row.index === index);
  if (place < 0) {
    const own = turn;
    const found = await asked(`item/${number}?also=${index}`).catch((error) => complain(error.message));
    if (own !== turn || !found) return;
    item.classes.push(found.classes.find((row) => row.index === index));
    place = item.classes.length - 1;
  }
  if (start.single) choosing = true;
  select(place);
  if (choosing) focusClass(place);
});
byId("note").addEventListener("keydown", (event) => event.key === "Enter" && event.target.blur());

// What other windows answered meanwhile.
addEventListener("beforeunload", (event) => {
  // Keys may be faster than the disk: what is on its way would be lost.
  if (underway.size) event.preventDefault();
});

document.addEventListener("visibilitychange", async () => {
  if (document.hidden) return;
  const now = await asked("start").catch((error) => complain(error.message));
  if (!now) return;
  answered = [...now.answered].map((each) => each === "1");
  if (item) drawProgress(answered.map((_, each) => isDone(each)), total);
});

byId("title").textContent = `${start.title}: suspected labels`;
document.title = `${start.title}: review`;
byId("file").textContent = start.file;
byId("wrong-help").textContent = start.single
  ? "it is wrong: then choose which class it is instead"
  : "the label of the chosen class is wrong: it becomes the other one; again, and it is as before";
byId("digit-help").textContent = start.single ? "it is this class instead" : "the label of this class is wrong";
byId("notes").append(...start.notes.map((each) => make("li", "", each)));
byId("names").append(...start.classes.map((each) => Object.assign(make("option", ""), { value: each })));
for (const id of ["unknown", "unknown-key", "unknown-help"]) byId(id).hidden = start.single;
for (const id of ["heat", "heat-key", "heat-help"]) byId(id).hidden = !start.heated;
const first = following(total - 1);
await show(first ?? 0);
if (first === null) say(`All ${total} are answered.`);
