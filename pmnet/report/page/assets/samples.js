// The samples: filters, the list, one sample with two runs side by side, and its address.

const CARDS = 24; // shown at a time
const NAMES = {h36m: "Human3.6M", pw3d: "3DPW", up3d: "UP-3D", mpi_inf_3dhp: "MPI-INF-3DHP"};
const METRIC_NAMES = ["MPVPE", "MPJPE", "PA-MPJPE"];

const nameOf = dataset => NAMES[dataset] ?? dataset;
const millimetres = x => x === null ? "unknown" : `${x.toFixed(1)} mm`;

/** Return a new element; `children` are nodes or texts. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

class Explorer {
  constructor(scheduler) {
    this.scheduler = scheduler;
    this.bodies = scheduler.bodies;
    this.form = document.getElementById("filters");
    this.detail = {turn: new Turn(), views: []};
    this.cards = {turn: new Turn(), views: []};
    this.prototype = null;
    this.coloured = true;
    this.limit = CARDS;
    this.fill();
    this.listen();
    this.readAddress();
    this.list();
  }

  // --- what is asked for

  get runA() { return Number(this.form.a.value); }
  get runB() { return Number(this.form.b.value); }

  /** Return the error that ranks samples: MPVPE, or MPJPE where there are no true bodies. */
  error(run, sample) {
    const [mpvpe, mpjpe] = SAMPLES.errors[run][sample];
    return mpvpe ?? mpjpe;
  }

  isRight(run, sample) { return SAMPLES.chosen[run][sample] === SAMPLES.assigned[run][sample]; }

  fill() {
    const {form} = this, runs = SAMPLES.runs.map((run, r) => new Option(run.label, r));
    for (const select of document.querySelectorAll("select[data-runs]")) select.append(...runs.map(o => o.cloneNode(true)));
    const p3dh = Math.max(SAMPLES.runs.findIndex(run => run.method === "p3dh"), 0);
    const single = Math.max(SAMPLES.runs.findIndex(run => run.method === "single"), 0);
    for (const [select, value] of [[form.a, p3dh], [form.b, single], [document.getElementById("memory"), p3dh]]) {
      select.options[value].defaultSelected = true;
      select.value = value;
    }
    form.dataset.replaceChildren(new Option("all", ""), ...[...new Set(SAMPLES.dataset)].map(d => new Option(nameOf(d), d)));
    this.fillDistances();
  }

  /** Offer fifths of the distances that are shown. */
  fillDistances() {
    const known = SAMPLES.distance.filter(d => d !== null).sort((a, b) => a - b), {distance} = this.form;
    distance.replaceChildren(new Option("any", ""));
    const ends = [0, 0.2, 0.4, 0.6, 0.8, 1].map(share => known[Math.round(share * (known.length - 1))]);
    for (let i = 0; i + 1 < ends.length && known.length; i++)
      distance.append(new Option(`${Math.round(ends[i])} to ${Math.round(ends[i + 1])} mm`, `${ends[i]} ${ends[i + 1]}`));
  }

  /** Return the samples that the filters leave, in order. */
  chosen() {
    const {dataset, choice, distance, query, order} = Object.fromEntries(new FormData(this.form));
    const [low, high] = distance ? distance.split(" ").map(Number) : [-Infinity, Infinity];
    const words = query.trim().toLowerCase(), [a, b] = [this.runA, this.runB];
    const kept = [...SAMPLES.sample.keys()].filter(i =>
      (!dataset || SAMPLES.dataset[i] === dataset)
      && (!choice || this.isRight(a, i) === (choice === "right"))
      && (!distance || (SAMPLES.distance[i] >= low && SAMPLES.distance[i] <= high))
      && (!words || `${SAMPLES.sequence[i]} ${SAMPLES.subject[i]} ${SAMPLES.dataset[i]}/${SAMPLES.sample[i]}`.toLowerCase().includes(words))
      && (this.prototype === null || SAMPLES.chosen[a][i] === this.prototype));
    const key = {
      worst: i => -this.error(a, i), best: i => this.error(a, i), far: i => -SAMPLES.distance[i], file: () => 0,
      gain: i => this.error(a, i) - this.error(b, i), loss: i => this.error(b, i) - this.error(a, i),
    }[order];
    return kept.sort((p, q) => key(p) - key(q) || p - q);
  }

  listen() {
    const {form} = this, again = () => { this.limit = CARDS; this.list(); };
    form.addEventListener("submit", event => event.preventDefault());
    form.addEventListener("input", again);
    form.addEventListener("reset", () => setTimeout(() => { this.prototype = null; again(); this.onPrototype?.(); }));
    const press = (id, act) => document.getElementById(id).addEventListener("click", act);
    press("more", () => { this.limit += CARDS; this.list(); });
    press("previous", () => this.move(-1));
    press("next", () => this.move(1));
    press("front", () => { this.detail.turn.stop(); this.detail.turn.front(); this.detail.views.forEach(view => this.scheduler.ask(view)); });
    press("colour", event => this.recolour(event.currentTarget));
    press("link", event => this.copyLink(event.currentTarget));
    this.spin = new Spin(this.detail.turn, this.scheduler, document.getElementById("spin"));
    addEventListener("hashchange", () => this.readAddress() && this.list());
  }

  // --- the list

  list() {
    const rows = this.chosen(), list = document.getElementById("cards");
    this.rows = rows;
    this.cards.views.forEach(view => view.remove());
    const shown = rows.slice(0, this.limit);
    list.replaceChildren(...shown.map(i => this.card(i)));
    this.cards.views = [...list.querySelectorAll("canvas")].map((canvas, c) => {
      const view = new View(this.scheduler, canvas, new Turn(), SAMPLES.predicted[this.runA][shown[c]]);
      view.turn.views = new Set([view]);
      return view;
    });
    document.getElementById("more").hidden = rows.length <= this.limit;
    const of = this.prototype === null ? "" : `, prototype ${this.prototype} of ${SAMPLES.runs[this.runA].label} chosen`;
    document.getElementById("count").textContent = rows.length
      ? `${rows.length} of ${SAMPLES.sample.length} samples${of}` : `No sample fits${of}. Reset the filters to see all.`;
    if (!rows.includes(this.sample)) this.sample = rows[0] ?? this.sample ?? 0;
    this.show(this.sample);
  }

  card(i) {
    const run = this.runA, right = this.isRight(run, i), known = SAMPLES.assigned[run][i] >= 0;
    const words = known ? (right ? "right prototype" : "wrong prototype") : "";
    return element("li", {}, element("button", {
      type: "button", class: "card", "data-sample": i, onclick: event => event.target.dataset?.moved !== "yes" && this.show(i, true),
      "aria-label": `${SAMPLES.sequence[i]}, ${millimetres(this.error(run, i))}, ${words}`,
    },
    element("span", {class: "pair"}, this.picture(i, ""), element("canvas", {"aria-hidden": "true"})),
    element("span", {class: "line"}, millimetres(this.error(run, i)),
      known ? element("span", {class: right ? "right" : "wrong", title: words}, right ? "✓" : "✗") : "")));
  }

  picture(i, alt) {
    return element("img", {src: `data:image/webp;base64,${SAMPLES.pictures[i]}`, alt, loading: "lazy", decoding: "async"});
  }

  move(by) {
    const at = this.rows.indexOf(this.sample);
    if (this.rows.length) this.show(this.rows[(at + by + this.rows.length) % this.rows.length], true);
  }

  // --- one sample

  /** Show a sample; `asked` says that a person chose it. */
  show(i, asked = false) {
    this.sample = i;
    for (const card of document.querySelectorAll(".card"))
      card.setAttribute("aria-current", Number(card.dataset.sample) === i);
    const distance = SAMPLES.distance[i];
    document.getElementById("detail-title").textContent = `${nameOf(SAMPLES.dataset[i])} · ${SAMPLES.sequence[i]}`;
    document.getElementById("detail-about").textContent = `Sample ${SAMPLES.sample[i]}, subject ${SAMPLES.subject[i]}`
      + (distance === null ? "" : `, ${distance.toFixed(0)} mm from the mean body`);
    this.detail.views.forEach(view => view.remove());
    this.detail.views = [];
    const [a, b] = [this.runA, this.runB], runs = a === b ? [a] : [a, b], frame = this.frameOf(i, runs);
    document.getElementById("compare").replaceChildren(this.truths(i, frame), element("div", {}, ...runs.map(run => this.run(i, run, frame))));
    document.getElementById("scale").hidden = SAMPLES.truth[i] < 0;
    if (asked) this.writeAddress();
  }

  /** Return the centre and radius that show the true body and the predictions at one scale. */
  frameOf(i, runs) {
    const rows = [...(SAMPLES.truth[i] >= 0 ? [SAMPLES.truth[i]] : []), ...runs.map(run => SAMPLES.predicted[run][i])];
    const meshes = rows.map(row => this.bodies.mesh(row));
    return {centre: meshes[0].centre, radius: Math.max(...meshes.map(mesh => mesh.radius))};
  }

  truths(i, frame) {
    const picture = element("figure", {class: "body"}, this.picture(i, `Input picture of ${SAMPLES.sequence[i]}`), element("figcaption", {}, "input"));
    if (SAMPLES.truth[i] < 0) return element("div", {class: "truths"}, picture);
    return element("div", {class: "truths"}, picture, this.body(SAMPLES.truth[i], "true body", {frame}));
  }

  run(i, run, frame) {
    const about = SAMPLES.runs[run], first = SAMPLES.first[run], [chosen, assigned] = [SAMPLES.chosen[run][i], SAMPLES.assigned[run][i]];
    const numbers = METRIC_NAMES.map((name, m) => `${name} ${millimetres(SAMPLES.errors[run][i][m])}`).join(" · ");
    const verdict = assigned < 0 || about.k === 1 ? "" : element("span", {class: chosen === assigned ? "right" : "wrong"},
      chosen === assigned ? "✓ right prototype" : "✗ wrong prototype");
    const prediction = this.body(SAMPLES.predicted[run][i], "prediction", {frame, truth: SAMPLES.truth[i], label: `prediction of ${about.label}`});
    return element("section", {class: `run s-${about.method}`, "data-run": about.name, "aria-label": about.label},
      element("h4", {}, about.label, element("span", {class: "numbers"}, numbers), verdict),
      element("div", {class: "bodies"}, prediction,
        chosen < 0 ? "" : this.body(first + chosen, about.k === 1 ? "the one prototype" : `chosen prototype ${chosen}`, {}),
        assigned < 0 || about.k === 1 ? "" : this.body(first + assigned, `assigned prototype ${assigned}`, {})));
  }

  body(row, caption, {frame = null, truth = -1, label = caption}) {
    const canvas = element("canvas", {class: "turn", tabindex: 0, role: "img", "aria-roledescription": "body to turn",
      "aria-label": `${label}; arrow keys turn it, Home shows the front`});
    const view = new View(this.scheduler, canvas, this.detail.turn, row, {frame: frame ?? this.ownFrame(row)});
    view.truth = truth;
    if (truth >= 0 && this.coloured) view.distances = this.bodies.distances(row, truth);
    this.detail.views.push(view);
    return element("figure", {class: "body"}, canvas, element("figcaption", {}, caption));
  }

  ownFrame(row) {
    const {centre, radius} = this.bodies.mesh(row);
    return {centre, radius: Math.max(radius, 0.9)};
  }

  recolour(button) {
    this.coloured = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", this.coloured);
    for (const view of this.detail.views)
      if (view.truth >= 0) view.recolour(this.coloured ? this.bodies.distances(view.row, view.truth) : null);
    document.getElementById("scale").hidden = !this.coloured;
  }

  // --- the address

  writeAddress() {
    const i = this.sample, runs = SAMPLES.runs;
    const parts = new URLSearchParams({sample: `${SAMPLES.dataset[i]}/${SAMPLES.sample[i]}`, a: runs[this.runA].name, b: runs[this.runB].name});
    history.replaceState(null, "", `#${parts}`);
  }

  /** Take sample and runs from the address; return whether it has any. */
  readAddress() {
    const parts = new URLSearchParams(location.hash.slice(1)), wanted = parts.get("sample");
    if (!wanted) return false;
    for (const name of ["a", "b"]) {
      const run = SAMPLES.runs.findIndex(own => own.name === parts.get(name));
      if (run >= 0) this.form[name].value = run;
    }
    const found = SAMPLES.sample.findIndex((sample, i) => `${SAMPLES.dataset[i]}/${sample}` === wanted);
    if (found < 0) return false;
    this.sample = found;
    document.getElementById("samples").scrollIntoView();
    return true;
  }

  async copyLink(button) {
    this.writeAddress();
    let words = "Link is in the address bar";
    try {
      await navigator.clipboard.writeText(location.href);
      words = "Copied";
    } catch { /* no permission: the address bar has it */ }
    button.textContent = words;
    setTimeout(() => { button.textContent = "Copy link"; }, 2000);
  }
}

/** The prototypes of one memory, which turn together. */
class Memory {
  constructor(scheduler, explorer) {
    Object.assign(this, {scheduler, explorer, turn: new Turn(), views: [], limit: CARDS});
    this.select = document.getElementById("memory");
    this.select.addEventListener("input", () => { this.limit = CARDS; this.list(); });
    this.more = document.getElementById("more-prototypes");
    this.more.addEventListener("click", () => { this.limit = Infinity; this.list(); });
    explorer.onPrototype = () => this.press(null);
    this.list();
  }

  list() {
    const run = Number(this.select.value), [first, end] = [SAMPLES.first[run], SAMPLES.first[run + 1]];
    const sizes = SAMPLES.sizes.slice(first, end), total = sizes.reduce((sum, size) => sum + size, 0) || 1;
    const order = [...sizes.keys()].sort((p, q) => sizes[q] - sizes[p] || p - q).slice(0, this.limit);
    this.views.forEach(view => view.remove());
    const list = document.getElementById("memory-bodies");
    list.replaceChildren(...order.map(k => element("li", {}, element("button", {
      type: "button", class: "prototype", "data-prototype": k, "aria-pressed": "false", onclick: event => this.choose(event, run, k),
      "aria-label": `Prototype ${k}, ${(100 * sizes[k] / total).toFixed(1)} % of the training samples; press to see its samples`,
    }, element("canvas", {"aria-hidden": "true"}), element("span", {}, `${k} · ${(100 * sizes[k] / total).toFixed(1)} %`)))));
    this.views = [...list.querySelectorAll("canvas")].map((canvas, c) =>
      new View(this.scheduler, canvas, this.turn, first + order[c], {frame: this.explorer.ownFrame(first + order[c])}));
    this.more.hidden = this.limit >= sizes.length;
    this.more.textContent = `Show all ${sizes.length}`;
  }

  choose(event, run, k) {
    const canvas = event.currentTarget.querySelector("canvas");
    if (canvas.dataset.moved === "yes") { canvas.dataset.moved = ""; return; }
    const {explorer} = this, same = explorer.prototype === k && explorer.runA === run;
    explorer.form.a.value = run;
    explorer.prototype = same ? null : k;
    explorer.limit = CARDS;
    explorer.list();
    this.press(same ? null : k);
    if (!same) document.getElementById("samples").scrollIntoView();
  }

  press(k) {
    for (const button of document.querySelectorAll(".prototype"))
      button.setAttribute("aria-pressed", k !== null && Number(button.dataset.prototype) === k);
  }
}
