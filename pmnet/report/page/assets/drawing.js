// One renderer for all bodies: WebGL by ogl where there is any, otherwise a small one of our own.
// Each draws a mesh into the corner of one hidden canvas, which is then copied to the visible one.

const SKIN = [0.80, 0.78, 0.74];
const ATLAS = 1024; // px, about the width of what is drawn at once
const WORST_M = 0.2; // where the colour scale of errors ends
// light grey to dark red by way of orange: the lightness falls all along, for people who see no colours
const SCALE = [[0.80, 0.78, 0.74], [0.93, 0.73, 0.47], [0.87, 0.46, 0.13], [0.70, 0.25, 0.06], [0.40, 0.08, 0.06]];

/** Return the colour of an error, 0 to 1. */
function colourOf(share) {
  const at = Math.min(Math.max(share, 0), 1) * (SCALE.length - 1), i = Math.min(Math.floor(at), SCALE.length - 2);
  return SCALE[i].map((x, c) => x + (SCALE[i + 1][c] - x) * (at - i));
}

const TABLE = Array.from({length: 256}, (_, i) => colourOf(i / 255));

/** Return the colour of each vertex: by its distance to the truth, or that of skin. */
function coloursOf(count, distances) {
  const colours = new Float32Array(3 * count);
  for (let v = 0; v < count; v++) {
    const colour = distances ? TABLE[Math.min(255, Math.round(255 * distances[v] / WORST_M))] : SKIN;
    for (let c = 0; c < 3; c++) colours[3 * v + c] = colour[c];
  }
  return colours;
}

/** Return the rows of the rotation by yaw about the vertical axis, then by pitch. */
function viewRotation(yaw, pitch) {
  const [c, s, k, t] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return [c, 0, s, t * s, k, -t * c, -k * s, t, k * c];
}

const VERTEX = `
attribute vec3 position; attribute vec3 normal; attribute vec3 colour;
uniform mat3 turn; uniform vec3 centre; uniform float radius;
varying vec3 vNormal; varying vec3 vColour;
void main() {
  vec3 p = turn * (position - centre) / radius;
  vNormal = turn * normal;
  vColour = colour;
  gl_Position = vec4(p.xy, -p.z * 0.5, 1.0);
}`;
const FRAGMENT = `
precision mediump float;
varying vec3 vNormal; varying vec3 vColour;
void main() {
  vec3 n = normalize(vNormal);
  float key = max(dot(n, vec3(-0.38, 0.62, 0.69)), 0.0);
  float fill = max(dot(n, vec3(0.70, 0.10, 0.71)), 0.0);
  float sky = 0.5 + 0.5 * n.y;
  gl_FragColor = vec4(vColour * (0.30 + 0.16 * sky + 0.52 * key + 0.16 * fill), 1.0);
}`;

/** Return the name of what runs WebGL here. */
function rendererOf(gl) {
  const about = gl.getExtension("WEBGL_debug_renderer_info");
  return String(gl.getParameter(about ? about.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
}

/** Return whether WebGL runs on the processor, where smooth edges take three times as long. */
function isSoftware() {
  const gl = ["webgl2", "webgl"].map(kind => document.createElement("canvas").getContext(kind)).find(Boolean);
  if (!gl) throw new Error("no WebGL");
  const software = /swiftshader|llvmpipe|softpipe|software|basic render/i.test(rendererOf(gl));
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return software;
}

/** Draws with WebGL, through ogl; one context for the whole page. */
class WebGLDrawing {
  constructor(faces) {
    this.canvas = document.createElement("canvas");
    this.renderer = new ogl.Renderer({canvas: this.canvas, alpha: true, antialias: !isSoftware(), premultipliedAlpha: true, width: 64, height: 64});
    this.gl = this.renderer.gl;
    this.faces = faces;
    this.program = new ogl.Program(this.gl, {vertex: VERTEX, fragment: FRAGMENT, uniforms: {
      turn: {value: new Float32Array(9)}, centre: {value: [0, 0, 0]}, radius: {value: 1}}});
    this.lost = false;
    this.canvas.addEventListener("webglcontextlost", event => { event.preventDefault(); this.lost = true; });
  }

  get name() { return `WebGL, ${rendererOf(this.gl)}`; }

  geometry(mesh, colours) {
    if (!mesh.geometry) {
      mesh.geometry = new ogl.Geometry(this.gl, {
        position: {size: 3, data: mesh.points}, normal: {size: 3, data: mesh.normals},
        colour: {size: 3, data: colours.slice()}, index: {data: this.faces}});
      mesh.coloured = colours;
      mesh.release = () => mesh.geometry.remove();
    }
    if (mesh.coloured !== colours) {
      mesh.geometry.attributes.colour.data.set(colours);
      mesh.geometry.updateAttribute(mesh.geometry.attributes.colour);
      mesh.coloured = colours;
    }
    return mesh.geometry;
  }

  /** Draw bodies beside each other, then copy each to its canvas: one copy waits for all, not for each. */
  drawAll(jobs) {
    const side = Math.max(...jobs.map(job => job.target.width)), columns = Math.max(Math.floor(ATLAS / side), 1);
    const [width, height] = [Math.min(columns, jobs.length) * side, Math.ceil(jobs.length / columns) * side];
    const {width: w0, height: h0} = this.canvas; // a copy takes as long as all of it is large
    if (w0 < width || h0 < height || w0 * h0 > 2 * width * height) this.renderer.setSize(width, height);
    const {gl, renderer} = this, places = jobs.map((_, i) => [i % columns * side, Math.floor(i / columns) * side]);
    renderer.bindFramebuffer();
    renderer.enable(gl.DEPTH_TEST);
    gl.depthMask(true);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    jobs.forEach((job, i) => {
      gl.viewport(...places[i], job.target.width, job.target.height); // ogl skips one of equal size
      this.draw(job);
    });
    jobs.forEach(({target: {width: w, height: h}, target}, i) => {
      const context = target.getContext("2d");
      context.clearRect(0, 0, w, h);
      context.drawImage(this.canvas, places[i][0], this.canvas.height - places[i][1] - h, w, h, 0, 0, w, h);
    });
  }

  draw({mesh, colours, yaw, pitch, centre, radius}) {
    const geometry = this.geometry(mesh, colours), {uniforms} = this.program, r = viewRotation(yaw, pitch);
    uniforms.turn.value.set([r[0], r[3], r[6], r[1], r[4], r[7], r[2], r[5], r[8]]);
    uniforms.centre.value = centre;
    uniforms.radius.value = radius;
    this.program.use();
    geometry.draw({program: this.program});
  }
}

/** Draws triangles with a depth buffer in plain JavaScript, for browsers without WebGL. */
class PlainDrawing {
  constructor(faces) {
    this.faces = faces;
    this.lost = false;
    this.name = "plain pictures, since WebGL is off";
  }

  drawAll(jobs) { jobs.forEach(job => this.draw(job)); }

  draw({target, mesh, colours, yaw, pitch, centre, radius}) {
    const [width, height] = [target.width, target.height], context = target.getContext("2d");
    const image = context.createImageData(width, height), pixels = image.data;
    const depth = new Float32Array(width * height).fill(-Infinity);
    const {places, light} = this.projected(mesh, viewRotation(yaw, pitch), centre, radius, width, height);
    for (let f = 0; f < this.faces.length; f += 3)
      this.fill(this.faces[f], this.faces[f + 1], this.faces[f + 2], places, light, colours, depth, pixels, width, height);
    context.putImageData(image, 0, 0);
  }

  projected(mesh, r, centre, radius, width, height) {
    const n = mesh.points.length / 3, places = new Float32Array(3 * n), light = new Float32Array(n);
    for (let v = 0; v < n; v++) {
      const p = turned(r, [0, 1, 2].map(a => (mesh.points[3 * v + a] - centre[a]) / radius));
      const [x, y, z] = turned(r, [0, 1, 2].map(a => mesh.normals[3 * v + a]));
      places.set([(p[0] + 1) * width / 2, (1 - p[1]) * height / 2, p[2]], 3 * v);
      const key = Math.max(-0.38 * x + 0.62 * y + 0.69 * z, 0), fill = Math.max(0.70 * x + 0.10 * y + 0.71 * z, 0);
      light[v] = 255 * (0.30 + 0.16 * (0.5 + 0.5 * y) + 0.52 * key + 0.16 * fill);
    }
    return {places, light};
  }

  fill(a, b, c, places, light, colours, depth, pixels, width, height) {
    const ax = places[3 * a], ay = places[3 * a + 1], bx = places[3 * b], by = places[3 * b + 1];
    const cx = places[3 * c], cy = places[3 * c + 1], area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
    if (area >= 0) return; // seen from the back
    const x0 = Math.max(Math.floor(Math.min(ax, bx, cx)), 0), x1 = Math.min(Math.ceil(Math.max(ax, bx, cx)), width - 1);
    const y0 = Math.max(Math.floor(Math.min(ay, by, cy)), 0), y1 = Math.min(Math.ceil(Math.max(ay, by, cy)), height - 1);
    for (let y = y0; y <= y1; y++)
      for (let x = x0; x <= x1; x++) {
        const px = x + 0.5, py = y + 0.5;
        const u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) / area;
        const v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) / area, w = 1 - u - v;
        if (u < 0 || v < 0 || w < 0) continue;
        const z = u * places[3 * a + 2] + v * places[3 * b + 2] + w * places[3 * c + 2], at = y * width + x;
        if (z <= depth[at]) continue;
        depth[at] = z;
        for (let k = 0; k < 3; k++)
          pixels[4 * at + k] = u * light[a] * colours[3 * a + k] + v * light[b] * colours[3 * b + k] + w * light[c] * colours[3 * c + k];
        pixels[4 * at + 3] = 255;
      }
  }
}

/** Return a drawing for these faces. */
function newDrawing(faces) {
  try {
    return new WebGLDrawing(faces);
  } catch {
    return new PlainDrawing(faces);
  }
}
