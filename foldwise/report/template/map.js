// The map of images: points on a canvas, what is said of the one that is chosen, and the way from
// it to the galleries. Names and ids only ever become text nodes.
function mapOf(data, make, dark, galleries) {
  const map = data.map;
  const byId = (id) => document.getElementById(id);
  const canvas = byId("map-canvas");
  const shown = byId("map-shown");
  const colour = byId("map-colour");
  const ofClass = byId("map-class");
  const numbers = new Map(map.ids.map((id, number) => [id, number]));
  const sprite = new Image();
  const PAD = 14;
  const SHAPES = ["dot", "cross", "triangle", "square", "plus", "diamond", "ring"];
  let chosen = -1;
  let pinned = false; // a click keeps what it chose, until the next one
  let zoom = 1;
  let centre = [0.5, 0.5];
  let groups = [];
  let groupOf = () => 0;

  // Colours. A shape each, too: whoever sees no colours reads the same map.
  const modes = { class: "class", error: "error", fold: "fold", part: "part" };
  const several = !map.single || data.names.length > SHAPES.length;
  const has = (lists, number, index) => lists[number].includes(index);
  const wrong = (number) => map.known[number] && map.wrong[number] > 0;

  function grouped() {
    const mode = colour.value;
    if (mode === "class" && several) {
      const index = Number(ofClass.value);
      const name = data.names[index];
      groups = [[`${name}, found`, 0], [`${name}, missed`, 1], [`${name}, wrongly added`, 2], ["without it", null]];
      groupOf = (number) => {
        const given = has(map.labels, number, index);
        const said = has(map.predicted, number, index);
        // Where labels are unknown only the prediction says something.
        if (given || (said && !map.known[number])) return said ? 0 : 1;
        return said ? 2 : 3;
      };
    } else if (mode === "class") {
      groups = [...data.names.map((name, index) => [name, index]), ["label unknown", null]];
      groupOf = (number) => map.labels[number][0] ?? data.names.length;
    } else if (mode === "error") {
      groups = [["a label is wrongly predicted", 1], ["all as labelled", 0], ["labels unknown", null]];
      groupOf = (number) => (!map.known[number] ? 2 : wrong(number) ? 0 : 1);
    } else if (mode === "fold") {
      const folds = [...new Set(map.fold)].sort((a, b) => a - b);
      groups = folds.map((fold, index) => [fold < 0 ? "test part, no fold" : `fold ${fold}`, index]);
      groupOf = (number) => folds.indexOf(map.fold[number]);
    } else {
      groups = [["out-of-fold", 0], ["test", 1]];
      groupOf = (number) => (map.fold[number] < 0 ? 1 : 0);
    }
    const counts = groups.map(() => 0);
    for (let number = 0; number < map.ids.length; number++) counts[groupOf(number)]++;
    byId("map-legend").replaceChildren(...groups.flatMap(([name, look], index) => {
      if (!counts[index]) return [];
      const swatch = make("canvas", "", [], { width: 28, height: 28, "aria-hidden": "true" });
      const pen = swatch.getContext("2d");
      pen.scale(2, 2);
      mark(pen, 7, 7, 4.5, look);
      return [make("li", "", [swatch, `${name} (${counts[index]})`])];
    }));
    byId("map-class-of").hidden = mode !== "class" || !several;
    draw();
  }

  function mark(pen, x, y, radius, look) {
    const theme = data.themes[dark.matches ? "dark" : "light"];
    const palette = theme.range.category;
    const paint = look === null ? theme.axis.labelColor : palette[look % palette.length];
    const shape = look === null ? "small" : SHAPES[look % SHAPES.length];
    pen.fillStyle = pen.strokeStyle = paint;
    pen.lineWidth = Math.max(1, radius / 2.2);
    pen.beginPath();
    if (shape === "cross") {
      pen.moveTo(x - radius, y - radius); pen.lineTo(x + radius, y + radius);
      pen.moveTo(x + radius, y - radius); pen.lineTo(x - radius, y + radius);
      pen.stroke();
    } else if (shape === "plus") {
      pen.moveTo(x - radius, y); pen.lineTo(x + radius, y);
      pen.moveTo(x, y - radius); pen.lineTo(x, y + radius);
      pen.stroke();
    } else if (shape === "triangle" || shape === "diamond") {
      pen.moveTo(x, y - radius * 1.2); pen.lineTo(x + radius * 1.2, y + (shape === "diamond" ? 0 : radius));
      if (shape === "diamond") pen.lineTo(x, y + radius * 1.2);
      pen.lineTo(x - radius * 1.2, y + (shape === "diamond" ? 0 : radius));
      pen.closePath(); pen.fill();
    } else if (shape === "square") {
      pen.fillRect(x - radius * 0.9, y - radius * 0.9, radius * 1.8, radius * 1.8);
    } else {
      pen.arc(x, y, shape === "small" ? radius * 0.55 : radius, 0, 2 * Math.PI);
      if (shape === "ring") pen.stroke(); else pen.fill();
    }
  }

  // Where a point is on the canvas, in pixels of the page.
  const side = () => canvas.clientWidth - 2 * PAD;
  const at = (number, axis) => PAD + ((map[axis ? "y" : "x"][number] / map.scale - centre[axis]) * zoom + 0.5) * side();

  function draw() {
    const width = canvas.clientWidth;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(width * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const radius = Math.min(6, (width < 500 ? 2.4 : 3.2) * Math.sqrt(zoom));
    // What says little lies below what is looked for.
    const order = groups.map((_, index) => index).sort((a, b) => (groups[b][1] === null) - (groups[a][1] === null) || b - a);
    for (const group of order) {
      for (let number = 0; number < map.ids.length; number++) {
        if (groupOf(number) === group) mark(pen, at(number, 0), at(number, 1), radius, groups[group][1]);
      }
    }
    if (chosen >= 0) {
      pen.beginPath();
      pen.arc(at(chosen, 0), at(chosen, 1), 10, 0, 2 * Math.PI);
      pen.lineWidth = 3;
      pen.strokeStyle = getComputedStyle(canvas).color;
      pen.stroke();
    }
    canvas.dataset.drawn = String(map.ids.length);
  }

  function zoomed(factor) {
    zoom = Math.min(32, Math.max(1, zoom * factor));
    keepInside();
    draw();
  }

  /** As near to the chosen image as the map's edges let it be. */
  function keepInside() {
    const half = 0.5 / zoom;
    const wanted = chosen < 0 ? centre : [map.x[chosen] / map.scale, map.y[chosen] / map.scale];
    centre = wanted.map((each) => Math.min(1 - half, Math.max(half, each)));
  }

  // What is said of an image.
  function labelsOf(number) {
    const kinds = new Map();
    for (const index of map.labels[number]) kinds.set(index, has(map.predicted, number, index) ? "right" : "missed");
    for (const index of map.predicted[number]) {
      if (!kinds.has(index)) kinds.set(index, map.known[number] ? "added" : "ignored");
    }
    return [...kinds];
  }

  const partOf = (number) => (map.fold[number] < 0 ? "test part" : `out-of-fold, fold ${map.fold[number]}`);
  const named = (lists, number) => lists[number].map((index) => data.names[index]).join(", ") || "none";

  function told(number) {
    const labels = map.known[number] ? named(map.labels, number) : "unknown";
    return `Image ${map.ids[number]}, ${partOf(number)}. Labels: ${labels}. Predicted: ${named(map.predicted, number)}.`;
  }

  function picture(number) {
    const size = map.side;
    const drawn = make("canvas", "", [], { width: 192, height: 192, role: "img", "aria-label": `image ${map.ids[number]}` });
    const column = number % map.columns;
    drawn.getContext("2d").drawImage(sprite, column * size, Math.floor(number / map.columns) * size, size, size, 0, 0, 192, 192);
    return drawn;
  }

  function choose(number, said) {
    if (number < 0) return;
    chosen = number;
    const id = map.ids[number];
    const labels = labelsOf(number).map(([index, kind]) => make("span", `label ${kind}`, [data.names[index]]));
    const content = [
      picture(number),
      make("p", "", [make("b", "", [id])], { id: "map-id" }),
      make("p", "note", [`${partOf(number)}${map.known[number] ? "" : "; labels unknown"}`]),
      make("p", "labels", labels),
    ];
    if (galleries.has(id)) {
      const button = make("button", "", ["In the galleries"], { type: "button", id: "map-open" });
      button.addEventListener("click", () => galleries.show(id));
      content.push(button);
    }
    shown.replaceChildren(...content);
    if (said) byId("map-said").textContent = told(number) + (galleries.has(id) ? " Enter shows it in the galleries." : "");
    const hidden = [0, 1].some((axis) => at(number, axis) < 0 || at(number, axis) > canvas.clientWidth);
    if (hidden) keepInside();
    draw();
  }

  function under(event, reach) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = -1;
    let least = reach;
    for (let number = 0; number < map.ids.length; number++) {
      const far = Math.hypot(at(number, 0) - x, at(number, 1) - y);
      if (far < least) [best, least] = [number, far];
    }
    return best;
  }

  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch" || pinned) return;
    const found = under(event, 16);
    if (found >= 0 && found !== chosen) choose(found, false);
  });
  canvas.addEventListener("click", (event) => {
    // A finger is broader than a pointer.
    const found = under(event, event.pointerType === "touch" ? 32 : 16);
    pinned = found >= 0;
    choose(found, true);
  });

  /** The nearest image that way: right and left along the first axis, down and up along the other. */
  function nearestTo(axis, sign) {
    if (chosen < 0) return under(middle(), Infinity);
    const here = [map.x[chosen], map.y[chosen]];
    let best = chosen;
    let least = Infinity;
    for (let number = 0; number < map.ids.length; number++) {
      const step = [map.x[number] - here[0], map.y[number] - here[1]];
      const ahead = sign * step[axis];
      const far = Math.hypot(...step);
      if (ahead > 0 && Math.abs(step[1 - axis]) <= ahead && far < least) [best, least] = [number, far];
    }
    return best;
  }

  function middle() {
    const box = canvas.getBoundingClientRect();
    return { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
  }

  const along = (step) => () => choose((chosen + step + map.ids.length) % map.ids.length, true);
  const keys = {
    ArrowRight: () => choose(nearestTo(0, 1), true),
    ArrowLeft: () => choose(nearestTo(0, -1), true),
    ArrowDown: () => choose(nearestTo(1, 1), true),
    ArrowUp: () => choose(nearestTo(1, -1), true),
    PageDown: along(1),
    PageUp: () => (chosen < 0 ? along(0) : along(-1))(),
    Enter: () => chosen >= 0 && galleries.has(map.ids[chosen]) && galleries.show(map.ids[chosen]),
    "+": () => zoomed(1.5),
    "-": () => zoomed(1 / 1.5),
    0: () => zoomed(0),
  };
  canvas.addEventListener("keydown", (event) => {
    const done = keys[event.key];
    if (!done || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    pinned = true;
    done();
  });

  const option = (value, name) => make("option", "", [name], { value });
  for (const [value, name] of Object.entries(modes)) colour.append(option(value, name));
  for (const [index, name] of data.names.entries()) ofClass.append(option(index, name));
  colour.addEventListener("change", grouped);
  ofClass.addEventListener("change", grouped);
  byId("map-nearer").addEventListener("click", () => zoomed(1.5));
  byId("map-farther").addEventListener("click", () => zoomed(1 / 1.5));
  byId("map-whole").addEventListener("click", () => zoomed(0));
  dark.addEventListener("change", grouped);
  new ResizeObserver(draw).observe(canvas);
  sprite.addEventListener("load", () => chosen >= 0 && choose(chosen, false));
  sprite.src = `data:image/webp;base64,${map.sprite}`;
  grouped();

  return {
    has: (id) => numbers.has(id),
    /** Choose an image, and bring the map before the reader. */
    show(id) {
      pinned = true;
      choose(numbers.get(id), true);
      canvas.scrollIntoView({ block: "center" });
      canvas.focus({ preventScroll: true });
    },
  };
}
