// What is drawn. Names and ids only ever become text, never HTML.

export const byId = (id) => document.getElementById(id);

/** An element with a class and children (text or elements). */
export function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

/** A label in words. */
export function worded(label) {
  return label === 1 ? "labelled" : label === 0 ? "not labelled" : "unknown";
}

/** What a screen reader is told of a class. */
export function spoken(row) {
  const answer = row.answer ? `, answered: ${row.answer}` : "";
  return `${row.name}: ${worded(row.label)}, probability ${row.p.toFixed(2)}${answer}`;
}

function chips(row) {
  const changed = row.label !== row.given;
  const label = make("span", `chip ${changed ? "changed" : row.label === 1 ? "there" : ""}`);
  label.textContent = changed ? `${worded(row.given)}, now ${worded(row.label)}` : worded(row.label);
  const found = make("span", "chips", label);
  if (row.answer) found.append(make("span", "chip", `answered: ${row.answer}`));
  return found;
}

/** The classes of an image, a button each; `choose` is told which was clicked. */
export function drawClasses(item, selected, choose) {
  const list = byId("classes");
  const focused = list.contains(document.activeElement);
  const rows = item.classes.map((row, place) => {
    const filled = make("span", "filled");
    filled.style.width = `${Math.round(row.p * 100)}%`;
    const button = make(
      "button",
      row.asked.length ? "asked" : "",
      make("span", "digit", place < 9 ? String(place + 1) : ""),
      make("span", "name", row.name),
      chips(row),
      make("span", "p", make("span", "track", filled), row.p.toFixed(3)),
    );
    const by = item.by.map((each, number) => `${each.member} fold ${each.fold} ${row.by[number].toFixed(2)}`);
    if (by.length) button.append(make("span", "by", by.join(", ")));
    if (row.asked.length) button.append(make("span", "why", row.asked.join("; ")));
    button.type = "button";
    button.dataset.name = row.name;
    button.setAttribute("aria-current", String(place === selected));
    button.addEventListener("click", () => choose(place));
    return make("li", "", button);
  });
  list.replaceChildren(...rows);
  if (focused) focusClass(selected);
}

/** Move the keyboard's focus to a class. */
export function focusClass(place) {
  byId("classes").children[place]?.firstElementChild.focus({ preventScroll: false });
}

/** Images that look alike or are near, with their labels. */
export function drawNeighbours(name, found) {
  byId(`${name}-part`).hidden = !found.length;
  byId(name).replaceChildren(
    ...found.map((each) => {
      const picture = make("img", "");
      picture.src = `small?id=${encodeURIComponent(each.id)}`;
      picture.alt = `image ${each.id}`;
      picture.loading = "lazy";
      return make("li", "", picture, each.labels.join(", ") || "no label");
    }),
  );
}

/** How much is done. */
export function drawProgress(answered, total) {
  const done = answered.filter(Boolean).length;
  byId("done").max = total;
  byId("done").value = done;
  byId("counted").textContent = `${done} of ${total} answered`;
}
