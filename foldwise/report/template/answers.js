// Answers to suspected label errors, kept in the page until they are saved as corrections.csv.
function answersOf(data, make) {
  const { single, classes } = data.review;
  const answers = new Map(); // of an image and class the rows of its last answer
  const nameOf = (index) => classes[index] ?? data.names[index];
  const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const saving = make("button", "", [], { type: "button", id: "save-answers" });
  const said = make("span", "note", [], { role: "status", id: "answers-said" });

  function show() {
    saving.textContent = `Save corrections.csv (${answers.size} answered)`;
    saving.disabled = !answers.size;
  }

  function text() {
    const rows = [...answers.values()].flat();
    return [["id", "class", "was", "is", "when", "why"], ...rows]
      .map((row) => `${row.map((each) => cell(String(each))).join(",")}\n`)
      .join("");
  }

  saving.addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([text()], { type: "text/csv" }));
    make("a", "", [], { href: address, download: "corrections.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    said.textContent = `saved: ${answers.size} answered`;
  });

  /** Of one image: the answer's buttons, and what was answered. */
  function buttons(each) {
    const key = JSON.stringify([each.id, each.class]);
    const was = each.kind === "missed" ? 1 : 0;
    const state = make("span", "note", [], { role: "status" });
    const box = make("div", "answers", [], { role: "group", "aria-label": `Is the label of image ${each.id} right?` });
    const instead = single ? make("select", "", [], { "aria-label": "which class instead" }) : null;

    function answer(why, rows) {
      const when = new Date().toISOString().replace(/\.\d+Z$/, "Z");
      answers.delete(key);
      if (rows) answers.set(key, rows.map(([index, before, after]) => [each.id, nameOf(index), before, after, when, why]));
      for (const button of box.querySelectorAll("button")) {
        if (button.dataset.why) button.setAttribute("aria-pressed", String(!!rows && button.dataset.why === why));
      }
      state.textContent = !rows ? "" : why !== "wrong" ? why : single ? `it is ${data.names[rows[1][0]]}` : was ? "it is not there" : "it is there";
      show();
    }

    function button(why, title, rows) {
      const made = make("button", "", [title], { type: "button", "aria-pressed": "false" });
      made.dataset.why = why;
      // The same again takes it back.
      made.addEventListener("click", () => answer(why, made.getAttribute("aria-pressed") === "true" ? null : rows()));
      return made;
    }

    const other = () => [[each.class, 1, 0], [Number(instead.value), 0, 1]];
    box.append(
      button("right", "Right", () => [[each.class, was, was]]),
      button("wrong", "Wrong", () => (single ? other() : [[each.class, was, 1 - was]])),
      button("unsure", "Unsure", () => [[each.class, was, was]]),
    );
    if (instead) {
      const likely = each.labels.find(([, , kind]) => kind === "added")?.[0];
      const first = likely ?? (each.class === 0 ? 1 : 0);
      const option = (index) => make("option", "", [data.names[index]], { value: index });
      instead.append(option(first));
      // The rest only when they are looked at: there may be thousands, for every image.
      instead.addEventListener("focus", () => {
        instead.replaceChildren(...data.names.map((_, index) => option(index)).filter((_, index) => index !== each.class));
        instead.value = first;
      }, { once: true });
      instead.addEventListener("change", () => answer("wrong", other()));
      box.append(instead);
    }
    box.append(state);
    return box;
  }

  show();
  const lead = make("p", "controls", [
    make("span", "note", ["Your answers stay in this page until you save them; `python -m foldwise review --add corrections.csv` takes them over."]),
    saving,
    said,
  ]);
  return { lead, buttons };
}
