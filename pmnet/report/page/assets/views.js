// Visible bodies: which are drawn when, and how they are turned by pointer and keyboard.

const FRAME_MS = 11; // of drawing per frame; what is left waits for the next frame
const PIXEL_RATIO = Math.min(window.devicePixelRatio || 1, 2);
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

/** Draws views that have changed: first the one that is held, then as many as fit in a frame. */
class Scheduler {
  constructor(bodies) {
    this.bodies = bodies;
    this.drawing = newDrawing(bodies.faces);
    this.waiting = new Set();
    this.frames = 0;
    this.held = null;
    this.observer = new IntersectionObserver(entries => {
      for (const {target, isIntersecting} of entries) {
        target.view.visible = isIntersecting;
        if (isIntersecting) this.ask(target.view);
      }
    }, {rootMargin: "120px"});
  }

  ask(view) {
    this.waiting.add(view);
    this.requested ??= requestAnimationFrame(() => this.frame());
  }

  frame() {
    this.requested = null;
    const end = performance.now() + FRAME_MS;
    this.frames += 1;
    if (this.held && this.waiting.delete(this.held)) this.held.draw();
    for (const view of this.waiting) {
      if (performance.now() > end) break;
      this.waiting.delete(view);
      if (view.visible && view.canvas.isConnected) view.draw();
    }
    if ([...this.waiting].some(view => view.visible)) this.requested = requestAnimationFrame(() => this.frame());
  }

  /** Draw all that is in the page at once, for print. */
  flush() {
    for (const canvas of document.querySelectorAll("canvas")) canvas.view?.draw();
    this.waiting.clear();
  }

  /** Draw with another drawing once WebGL has gone. */
  draw(...what) {
    if (this.drawing.lost) this.drawing = new PlainDrawing(this.bodies.faces);
    this.drawing.draw(...what);
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

  draw() {
    const side = Math.round(this.canvas.clientWidth * PIXEL_RATIO) || 96;
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    const mesh = this.scheduler.bodies.mesh(this.row), {centre, radius} = this.frame ?? mesh;
    this.colours ??= coloursOf(mesh.points.length / 3, this.distances);
    this.scheduler.draw(this.canvas, mesh, this.colours, {yaw: this.turn.yaw, pitch: this.turn.pitch, centre, radius: radius * 1.04});
    this.canvas.dataset.drawn = Number(this.canvas.dataset.drawn || 0) + 1;
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
