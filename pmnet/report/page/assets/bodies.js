// Bodies as meshes: the open body is posed here, any other body comes as posed vertices.
// A mesh is relative to the pelvis, x right, y up, z to the viewer (the camera frame has y down, z away).

const KEPT_MESHES = 160;

/** The open body in SMPL layout: blend shapes, then linear blend skinning. */
class OpenBody {
  static async load() {
    const whole = ["counts", "moved", "offsets", "parents"].map(unpackWhole);
    const floats = ["template", "weights", "joints", "bodies"].map(unpack);
    return new OpenBody(await Promise.all(whole), await Promise.all(floats));
  }

  constructor([counts, moved, offsets, parents], [template, weights, joints, numbers]) {
    Object.assign(this, {template, joints, numbers, parents, count: template.length / 3, features: []});
    const total = moved.length, {step} = PAGE.arrays.offsets;
    for (let f = 0, at = 0; f < counts.length; at += counts[f++]) {
      const own = {moved: Uint16Array.from(summed(moved.subarray(at, at + counts[f]))), offsets: new Float32Array(3 * counts[f])};
      for (let i = 0; i < counts[f]; i++)
        for (let a = 0; a < 3; a++) own.offsets[3 * i + a] = offsets[a * total + at + i] * step;
      this.features.push(own);
    }
    this.skin = this.sparseWeights(weights);
  }

  /** Return for each vertex where its joints and weights begin. */
  sparseWeights(weights) {
    const n = this.count, starts = new Uint32Array(n + 1), joints = [], values = [];
    for (let v = 0; v < n; v++) {
      let total = 0;
      for (let j = 0; j < 24; j++) total += weights[j * n + v];
      for (let j = 0; j < 24; j++)
        if (weights[j * n + v]) { joints.push(j); values.push(weights[j * n + v] / total); }
      starts[v + 1] = joints.length;
    }
    return {starts, joints: Uint8Array.from(joints), values: Float32Array.from(values)};
  }

  /** Return the vertices of a row of bodies. */
  vertices(row) {
    const own = this.numbers.subarray(85 * row, 85 * row + 85), betas = own.subarray(72, 82);
    const rotations = [];
    for (let j = 0; j < 24; j++) rotations.push(rotationOf(own[3 * j], own[3 * j + 1], own[3 * j + 2]));
    return this.skinned(this.shaped(betas, rotations), this.transforms(betas, rotations));
  }

  shaped(betas, rotations) {
    const n = this.count, shaped = Float32Array.from(this.template);
    const add = ({moved, offsets}, by) => {
      if (by) for (let i = 0; i < moved.length; i++) {
        const v = moved[i];
        shaped[v] += by * offsets[3 * i];
        shaped[n + v] += by * offsets[3 * i + 1];
        shaped[2 * n + v] += by * offsets[3 * i + 2];
      }
    };
    for (let k = 0; k < 10; k++) add(this.features[k], betas[k]);
    for (let j = 1; j < 24; j++)
      for (let e = 0; e < 9; e++) add(this.features[10 + 9 * (j - 1) + e], rotations[j][e] - (e % 4 ? 0 : 1));
    return shaped;
  }

  /** Return the transforms of the joints (3 x 4), with the pelvis at zero. */
  transforms(betas, rotations) {
    const rest = Float64Array.from(this.joints.subarray(0, 72));
    for (let k = 0; k < 10; k++)
      for (let i = 0; i < 72; i++) rest[i] += betas[k] * this.joints[72 * (k + 1) + i];
    const world = [rotations[0]], places = [[0, 0, 0]], transforms = new Float32Array(24 * 12);
    for (let j = 1; j < 24; j++) {
      const p = this.parents[j], bone = [0, 1, 2].map(a => rest[3 * j + a] - rest[3 * p + a]);
      const moved = turned(world[p], bone);
      places.push(places[p].map((x, a) => x + moved[a]));
      world.push(product(world[p], rotations[j]));
    }
    for (let j = 0; j < 24; j++) {
      const back = turned(world[j], [rest[3 * j], rest[3 * j + 1], rest[3 * j + 2]]);
      for (let a = 0; a < 3; a++) {
        for (let b = 0; b < 3; b++) transforms[12 * j + 4 * a + b] = world[j][3 * a + b];
        transforms[12 * j + 4 * a + 3] = places[j][a] - back[a];
      }
    }
    return transforms;
  }

  skinned(shaped, transforms) {
    const n = this.count, {starts, joints, values} = this.skin, points = new Float32Array(3 * n);
    const blend = new Float64Array(12);
    for (let v = 0; v < n; v++) {
      blend.fill(0);
      for (let i = starts[v]; i < starts[v + 1]; i++) {
        const at = 12 * joints[i], weight = values[i];
        for (let e = 0; e < 12; e++) blend[e] += weight * transforms[at + e];
      }
      const x = shaped[v], y = shaped[n + v], z = shaped[2 * n + v];
      points[3 * v] = blend[0] * x + blend[1] * y + blend[2] * z + blend[3];
      points[3 * v + 1] = -(blend[4] * x + blend[5] * y + blend[6] * z + blend[7]);
      points[3 * v + 2] = -(blend[8] * x + blend[9] * y + blend[10] * z + blend[11]);
    }
    return points;
  }
}

/** Posed vertices, as they are written for bodies that may not be handed on. */
class PosedBodies {
  static async load() {
    const [steps, {shape, step}] = [await unpackWhole("bodies"), PAGE.arrays.bodies];
    return new PosedBodies(steps, shape[1], step);
  }

  constructor(steps, count, step) {
    Object.assign(this, {steps, count, step});
  }

  vertices(row) {
    const n = this.count, points = new Float32Array(3 * n), at = 3 * n * row, last = new Int16Array(3);
    for (let i = 0; i < 3 * n; i++) {
      last[i % 3] += this.steps[at + i];
      points[i] = last[i % 3] * this.step * (i % 3 ? -1 : 1);
    }
    return points;
  }
}

/** Return the length of a vector; Math.hypot takes several times as long. */
function lengthOf(x, y, z) {
  return Math.sqrt(x * x + y * y + z * z);
}

/** Return the rotation matrix, by rows, of a rotation vector (rad). */
function rotationOf(x, y, z) {
  const angle = lengthOf(x, y, z);
  if (angle < 1e-8) return [1, 0, 0, 0, 1, 0, 0, 0, 1];
  const [a, b, c] = [x / angle, y / angle, z / angle], s = Math.sin(angle), k = Math.cos(angle), m = 1 - k;
  return [k + a * a * m, a * b * m - c * s, a * c * m + b * s,
          b * a * m + c * s, k + b * b * m, b * c * m - a * s,
          c * a * m - b * s, c * b * m + a * s, k + c * c * m];
}

function product(p, q) {
  const r = [];
  for (let i = 0; i < 3; i++)
    for (let j = 0; j < 3; j++) r.push(p[3 * i] * q[j] + p[3 * i + 1] * q[3 + j] + p[3 * i + 2] * q[6 + j]);
  return r;
}

function turned(r, v) {
  return [0, 3, 6].map(i => r[i] * v[0] + r[i + 1] * v[1] + r[i + 2] * v[2]);
}

/** All bodies of the page by row; the meshes that were used last are kept. */
class Bodies {
  static async load() {
    const source = SAMPLES.form === "vertices" ? await PosedBodies.load() : await OpenBody.load();
    return new Bodies(source, Uint16Array.from(summed(await unpackWhole("faces"))));
  }

  constructor(source, faces) {
    Object.assign(this, {source, faces, meshes: new Map()});
  }

  mesh(row) {
    let mesh = this.meshes.get(row);
    if (mesh) this.meshes.delete(row);
    else mesh = this.made(row);
    this.meshes.set(row, mesh);
    if (this.meshes.size > KEPT_MESHES) {
      const [oldest, gone] = this.meshes.entries().next().value;
      this.meshes.delete(oldest);
      gone.release?.();
    }
    return mesh;
  }

  made(row) {
    const points = this.source.vertices(row);
    return {row, points, normals: normalsOf(points, this.faces), ...boundsOf(points)};
  }

  /** Return the distance (m) of each vertex of one body to that of another, pelvis at pelvis. */
  distances(row, other) {
    const p = this.mesh(row).points, q = this.mesh(other).points, away = new Float32Array(p.length / 3);
    for (let v = 0; v < away.length; v++)
      away[v] = lengthOf(p[3 * v] - q[3 * v], p[3 * v + 1] - q[3 * v + 1], p[3 * v + 2] - q[3 * v + 2]);
    return away;
  }
}

function normalsOf(points, faces) {
  const normals = new Float32Array(points.length);
  for (let f = 0; f < faces.length; f += 3) {
    const a = 3 * faces[f], b = 3 * faces[f + 1], c = 3 * faces[f + 2];
    const ux = points[b] - points[a], uy = points[b + 1] - points[a + 1], uz = points[b + 2] - points[a + 2];
    const vx = points[c] - points[a], vy = points[c + 1] - points[a + 1], vz = points[c + 2] - points[a + 2];
    const nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx;
    normals[a] += nx; normals[a + 1] += ny; normals[a + 2] += nz;
    normals[b] += nx; normals[b + 1] += ny; normals[b + 2] += nz;
    normals[c] += nx; normals[c + 1] += ny; normals[c + 2] += nz;
  }
  for (let i = 0; i < normals.length; i += 3) {
    const length = lengthOf(normals[i], normals[i + 1], normals[i + 2]) || 1;
    normals[i] /= length; normals[i + 1] /= length; normals[i + 2] /= length;
  }
  return normals;
}

/** Return the middle of a body, and the radius (m) of the sphere around it. */
function boundsOf(points) {
  const centre = [0, 1, 2].map(axis => {
    let low = Infinity, high = -Infinity;
    for (let i = axis; i < points.length; i += 3) {
      if (points[i] < low) low = points[i];
      if (points[i] > high) high = points[i];
    }
    return (low + high) / 2;
  });
  let radius = 0;
  for (let i = 0; i < points.length; i += 3)
    radius = Math.max(radius, lengthOf(points[i] - centre[0], points[i + 1] - centre[1], points[i + 2] - centre[2]));
  return {centre, radius};
}
