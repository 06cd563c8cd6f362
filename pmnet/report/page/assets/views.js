// Visible bodies: which are drawn when, and how they are turned by pointer and keyboard.

const MOST_AT_ONCE = 24; // bodies in one frame
const SLOW_MS = 30; // a frame that took longer draws fewer bodies next time
const PIXEL_RATIO = Math.min(Math.max(window.devicePixelRatio || 1, 1.5), 2); // more than 1: smooth edges
const STEP_RAD = Math.PI / 12;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** The angles that the views of a group share. */
class Turn {
  constructor() { this.views = new Set(); this.front(); }
  front() { this.yaw = 0; this.pitch = 0; }
  by(yaw, pitch) {
    this.yaw += yaw;
    this.pitch = Math.min(Math.max(this.pitch + pitch, -Math.PI / 2), Math.PI / 2);
  }
}

/** Draws views that have changed: in every frame the one that is held, and as many others as the machine can. */
class Scheduler {
  constructor(bodies) {
    this.bodies = bodies;
    this.drawing = newDrawing(bodies.faces);
    this.waiting = new Set();
    this.held = null;
    this.batch = MOST_AT_ONCE;
    this.last = 0;
    this.observer = new IntersectionObserver(entries => {
      for (const {target, isIntersecting} of entries) {
        target.view.visible = isIntersecting;
        if (isIntersecting) this.ask(target.view);
      }
    }, {rootMargin: "120px"});
  }

  ask(view) {
    this.waiting.add(view);
    this.requested ??= requestAnimationFrame(now => this.frame(now));
  }

  frame(now) {
    this.requested = null;
    this.adapt(now - this.last);
    this.last = now;
    for (const view of this.waiting) if (!view.visible || !view.canvas.isConnected) this.waiting.delete(view);
    const first = this.waiting.has(this.held) ? [this.held] : [];
    const others = [...this.waiting].filter(view => view !== this.held);
    this.draw([...first, ...others].slice(0, this.batch));
    if (this.waiting.size) this.requested = requestAnimationFrame(later => this.frame(later));
  }

  /** Draw fewer bodies in the next frame where the last took long (ms), more where it did not. */
  adapt(took) {
    if (took > 1000) return; // nothing was turned
    if (took > SLOW_MS) this.batch = Math.max(Math.floor(this.batch / 2), 1);
    else this.batch = Math.min(this.batch + 1, MOST_AT_ONCE);
  }

  /** Draw all that is in the page at once, for print. */
  flush() {
    const views = [...document.querySelectorAll("canvas")].map(canvas => canvas.view).filter(Boolean);
    for (let i = 0; i < views.length; i += MOST_AT_ONCE) this.draw(views.slice(i, i + MOST_AT_ONCE));
  }

  draw(views) {
    if (!views.length) return;
    if (this.drawing.lost) this.drawing = new PlainDrawing(this.bodies.faces);
    views.forEach(view => this.waiting.delete(view));
    this.drawing.drawAll(views.map(view => view.job()));
    for (const {canvas} of views) canvas.dataset.drawn = Number(canvas.dataset.drawn || 0) + 1;
  }
}

/** One canvas with one body. */
class View {
  /** `frame` has the centre and radius (m) that are shown; by default those of the body. */
  constructor(scheduler, canvas, turn, row, {distances = null, frame = null} = {}) {
    Object.assign(this, {scheduler, canvas, turn, row, distances, frame, visible: false});
    canvas.view = this;
    turn.views.add(this);
    scheduler.observer.observe(canvas);
    this.listen();
  }

  /** Forget the canvas. */
  remove() {
    this.turn.views.delete(this);
    this.scheduler.waiting.delete(this);
    this.scheduler.observer.unobserve(this.canvas);
  }

  /** Return what is to be drawn. */
  job() {
    const side = Math.round(this.canvas.clientWidth * PIXEL_RATIO) || 96;
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    const mesh = this.scheduler.bodies.mesh(this.row), {centre, radius} = this.frame ?? mesh;
    this.colours ??= coloursOf(mesh.points.length / 3, this.distances);
    return {target: this.canvas, mesh, colours: this.colours, yaw: this.turn.yaw, pitch: this.turn.pitch, centre, radius: radius * 1.04};
  }

  recolour(distances) {
    this.distances = distances;
    this.colours = null;
    this.scheduler.ask(this);
  }

  turnBy(yaw, pitch) {
    this.turn.by(yaw, pitch);
    this.turn.views.forEach(view => this.scheduler.ask(view));
  }

  listen() {
    const {canvas} = this;
    let last = null;
    canvas.addEventListener("pointerdown", event => {
      if (event.button) return;
      last = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
      canvas.dataset.moved = "";
      this.scheduler.held = this;
      this.turn.stop?.();
    });
    canvas.addEventListener("pointermove", event => {
      if (!last) return;
      const [x, y] = [event.clientX - last[0], event.clientY - last[1]], full = canvas.clientWidth || 1;
      if (Math.abs(x) + Math.abs(y) > 2) canvas.dataset.moved = "yes";
      last = [event.clientX, event.clientY];
      this.turnBy(x / full * Math.PI, event.pointerType === "touch" ? 0 : y / full * Math.PI);
    });
    for (const end of ["pointerup", "pointercancel"])
      canvas.addEventListener(end, () => { last = null; this.scheduler.held = null; });
    canvas.addEventListener("keydown", event => this.key(event));
  }

  key(event) {
    const steps = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (!steps && event.key !== "Home") return;
    event.preventDefault();
    this.turn.stop?.();
    if (event.key === "Home") this.turn.front();
    this.turnBy(...(steps ?? [0, 0]).map(step => step * STEP_RAD));
  }
}

/** Turns a group slowly until it is stopped; never by itself where motion is not wanted. */
class Spin {
  constructor(turn, scheduler, button) {
    Object.assign(this, {turn, scheduler, button, running: false});
    turn.stop = () => this.set(false);
    button.addEventListener("click", () => this.set(!this.running));
  }

  set(running) {
    if (running === this.running) return;
    this.running = running;
    this.button.setAttribute("aria-pressed", running);
    this.button.textContent = running ? "Stop" : "Turn";
    let last = performance.now();
    const step = now => {
      if (!this.running) return;
      if ([...this.turn.views].some(view => view.visible)) {
        this.turn.by(Math.min(now - last, 50) / 1000 * 0.7, 0);
        this.turn.views.forEach(view => this.scheduler.ask(view));
      }
      last = now;
      requestAnimationFrame(step);
    };
    if (running) requestAnimationFrame(step);
  }
}
