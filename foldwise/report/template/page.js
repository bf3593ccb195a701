"use strict";
// Draws charts, the table of classes and galleries from the JSON in the page. Names and ids only
// ever become text nodes, never HTML.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  /** An element with a class, attributes and children (text or elements). */
  function make(tag, name, children = [], attributes = {}) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  // Charts, in the colours of the theme that is asked for.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const views = new Map();
  let drawing = 0;

  async function drawAll() {
    const turn = ++drawing;
    root.dataset.drawn = "0";
    const config = data.themes[dark.matches ? "dark" : "light"];
    for (const element of document.querySelectorAll("[data-chart]")) {
      const name = element.dataset.chart;
      views.get(name)?.finalize();
      const options = { config, actions: false, renderer: "svg" };
      const result = await vegaEmbed(element, data.specs[name], options);
      if (turn !== drawing) {
        result.finalize();
        return;
      }
      views.set(name, result);
      await pick(result);
      root.dataset.drawn = String(Number(root.dataset.drawn) + 1);
    }
  }

  // Charts of one class follow the class that is picked.
  const picked = byId("picked");
  async function pick(result) {
    if (picked && result.spec.params?.some((each) => each.name === "picked")) {
      await result.view.signal("picked", picked.value).runAsync();
    }
  }
  picked?.addEventListener("change", () => [...views.values()].forEach(pick));

  // The table of classes.
  const table = byId("class-table");
  const part = byId("part");
  const names = { oof: "out-of-fold", test: "test" };
  const shown = Object.keys(data.table);
  // The test part first, as everywhere.
  for (const key of shown.sort((a, b) => (b === "test") - (a === "test"))) {
    part.append(make("option", "", [names[key]], { value: key }));
  }
  const columns = { class: "class", ...data.columns };
  // Until a header is clicked: the hardest classes first.
  let sorted = { key: "ap", up: true };
  for (const [key, title] of Object.entries(columns)) {
    const button = make("button", "", [title], { type: "button" });
    button.addEventListener("click", () => {
      const up = sorted.key === key ? !sorted.up : key === "class";
      sorted = { key, up };
      fill();
    });
    const header = make("th", key === "class" ? "" : "number", [button], { scope: "col" });
    header.dataset.key = key;
    table.tHead.rows[0].append(header);
  }

  function written(key, value) {
    if (value === null) return "-";
    return typeof value !== "number" ? value : key === "images" ? String(value) : value.toFixed(4);
  }

  function compared(a, b) {
    // What has no value comes last, either way.
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
    return sorted.up ? order : -order;
  }

  function fill() {
    const found = data.table[part.value];
    const wanted = byId("filter").value.trim().toLowerCase();
    const rows = found.class
      .map((_, row) => row)
      .filter((row) => found.class[row].toLowerCase().includes(wanted))
      .sort((a, b) => compared(found[sorted.key][a], found[sorted.key][b]) || a - b);
    const body = document.createDocumentFragment();
    for (const row of rows) {
      const line = make("tr", "");
      for (const key of Object.keys(columns)) {
        const text = written(key, found[key][row]);
        line.append(
          key === "class"
            ? make("th", "", [text], { scope: "row", title: text })
            : make("td", "number", [text]),
        );
      }
      body.append(line);
    }
    table.tBodies[0].replaceChildren(body);
    for (const header of table.tHead.rows[0].cells) {
      const own = header.dataset.key === sorted.key;
      header.setAttribute("aria-sort", own ? (sorted.up ? "ascending" : "descending") : "none");
    }
    byId("counted").textContent = `${rows.length} of ${found.class.length} classes`;
  }
  part.addEventListener("change", fill);
  byId("filter").addEventListener("input", fill);
  fill();

  // Galleries.
  function image(number, text) {
    const source = `data:image/webp;base64,${data.pictures[number]}`;
    return make("img", "", [], { src: source, alt: text });
  }

  const answers = data.review ? answersOf(data, make) : null;
  const galleriesOf = new Map(); // of an image's id what builds the first gallery that shows it
  const map = data.map
    ? mapOf(data, make, dark, { has: (id) => galleriesOf.has(id), show: showCard })
    : null;

  /** Bring an image before the reader, in the first gallery that shows it. */
  function showCard(id) {
    galleriesOf.get(id)();
    const card = [...document.querySelectorAll(".shot")].find((each) => each.dataset.image === id);
    document.querySelector(".shot.sought")?.classList.remove("sought");
    card.classList.add("sought");
    card.scrollIntoView({ block: "center" });
    card.focus({ preventScroll: true });
  }

  function toMap(id) {
    if (!map?.has(id)) return [];
    const button = make("button", "to-map", ["On the map"], { type: "button", "aria-label": `image ${id} on the map` });
    button.addEventListener("click", () => map.show(id));
    return [button];
  }

  function card(each, ofClass, answered) {
    const pictures = [image(each.picture, `image ${each.id}`)];
    if ("heat" in each) {
      pictures.push(image(each.heat, `where the network looks for ${data.names[each.class]}`));
    }
    const why = ofClass
      ? [make("b", "", [each.p.toFixed(3)]), ` ${each.says}`]
      : [make("b", "", [data.names[each.class]]), ` ${each.says}, p ${each.p.toFixed(3)}`];
    const labels = each.labels.map(([index, p, kind]) =>
      make("span", `label ${kind}`, [`${data.names[index]} ${p.toFixed(2)}`]),
    );
    if (each.more) labels.push(make("span", "label ignored", [`and ${each.more} more`]));
    const shot = make("li", `shot ${each.kind}`, [
      make("div", "pictures", pictures),
      make("p", "why", why),
      make("p", "id", [each.id], { title: each.id }),
      make("p", "labels", labels),
      ...(answered ? [answers.buttons(each)] : []),
      ...toMap(each.id),
    ], { tabindex: -1 });
    shot.dataset.image = each.id;
    return shot;
  }

  function rows(gallery) {
    const answered = answers !== null && gallery.title === data.review.title;
    return gallery.rows.flatMap((row) =>
      row.cards.length
        ? [make("h4", "row-title", [row.title]), make("ul", "gallery", row.cards.map((each) => card(each, gallery.class !== null, answered)))]
        : [],
    );
  }

  /** What is to be done so that a gallery's images are there. */
  function noted(gallery, build) {
    for (const row of gallery.rows) {
      for (const each of row.cards) {
        if (!galleriesOf.has(each.id)) galleriesOf.set(each.id, build);
      }
    }
  }

  const ofClasses = [];
  for (const gallery of data.galleries) {
    if (gallery.class === null) {
      noted(gallery, () => {});
      const content = rows(gallery);
      if (content.length && answers && gallery.title === data.review.title) content.unshift(answers.lead);
      if (!content.length) content.push(make("p", "note", ["There are none."]));
      byId("error-galleries").append(make("h3", "", [gallery.title]), ...content);
      continue;
    }
    const name = data.names[gallery.class];
    const summary = make("summary", "", [name, make("span", "summary-note", [gallery.title])]);
    const details = make("details", "box class", [summary]);
    details.dataset.name = name.toLowerCase();
    // Only what is opened is built: long lists of classes stay quick.
    const build = () => {
      if (details.open && details.children.length === 1) {
        details.append(make("div", "", rows(gallery)));
      }
    };
    details.addEventListener("toggle", build);
    noted(gallery, () => {
      details.hidden = false;
      details.open = true;
      build();
    });
    ofClasses.push(details);
    byId("class-galleries").append(details);
  }
  ofClasses.slice(0, 3).forEach((each) => (each.open = true));
  byId("gallery-filter").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const each of ofClasses) each.hidden = !each.dataset.name.includes(wanted);
  });
  const setAll = (open) => () =>
    ofClasses.filter((each) => !each.hidden).forEach((each) => (each.open = open));
  byId("open-all").addEventListener("click", setAll(true));
  byId("close-all").addEventListener("click", setAll(false));

  dark.addEventListener("change", drawAll);
  drawAll();
})();
