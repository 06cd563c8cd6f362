// One renderer for all bodies: WebGL by ogl where there is any, otherwise a small one of our own.
// Each draws a mesh into the corner of one hidden canvas, which is then copied to the visible one.

const SKIN = [0.80, 0.78, 0.74];
const WORST_M = 0.2; // where the colour scale of errors ends
// light grey to dark red by way of orange: the lightness falls all along, for people who see no colours
const SCALE = [[0.80, 0.78, 0.74], [0.93, 0.73, 0.47], [0.87, 0.46, 0.13], [0.68, 0.24, 0.05], [0.35, 0.07, 0.05]];

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

/** Draws with WebGL, through ogl; one context for the whole page. */
class WebGLDrawing {
  constructor(faces, antialias = true) {
    this.canvas = document.createElement("canvas");
    const webgl = ["webgl2", "webgl"].some(kind => document.createElement("canvas").getContext(kind));
    if (!webgl) throw new Error("no WebGL");
    this.renderer = new ogl.Renderer({canvas: this.canvas, alpha: true, antialias, premultipliedAlpha: true, width: 64, height: 64});
    this.gl = this.renderer.gl;
    this.faces = faces;
    this.program = new ogl.Program(this.gl, {vertex: VERTEX, fragment: FRAGMENT, uniforms: {
      turn: {value: new Float32Array(9)}, centre: {value: [0, 0, 0]}, radius: {value: 1}}});
    this.lost = false;
    this.canvas.addEventListener("webglcontextlost", event => { event.preventDefault(); this.lost = true; });
  }

  get name() {
    const about = this.gl.getExtension("WEBGL_debug_renderer_info");
    return `WebGL, ${this.gl.getParameter(about ? about.UNMASKED_RENDERER_WEBGL : this.gl.RENDERER)}`;
  }

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

  draw(target, mesh, colours, {yaw, pitch, centre, radius}) {
    const [width, height] = [target.width, target.height];
    if (this.canvas.width < width || this.canvas.height < height)
      this.renderer.setSize(Math.max(this.canvas.width, width), Math.max(this.canvas.height, height));
    const geometry = this.geometry(mesh, colours), {uniforms} = this.program, gl = this.gl;
    const r = viewRotation(yaw, pitch);
    uniforms.turn.value.set([r[0], r[3], r[6], r[1], r[4], r[7], r[2], r[5], r[8]]);
    uniforms.centre.value = centre;
    uniforms.radius.value = radius;
    this.renderer.bindFramebuffer();
    this.renderer.setViewport(width, height);
    this.renderer.enable(gl.DEPTH_TEST);
    gl.depthMask(true);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    this.program.use();
    geometry.draw({program: this.program});
    const context = target.getContext("2d");
    context.clearRect(0, 0, width, height);
    context.drawImage(this.canvas, 0, this.canvas.height - height, width, height, 0, 0, width, height);
  }
}

/** Draws triangles with a depth buffer in plain JavaScript, for browsers without WebGL. */
class PlainDrawing {
  constructor(faces) {
    this.faces = faces;
    this.lost = false;
    this.name = "plain pictures, since WebGL is off";
  }

  draw(target, mesh, colours, {yaw, pitch, centre, radius}) {
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
