// What Python wrote into the page: JSON, and arrays of 16 bits as text (pmnet/report/page/coding.py).

const PAGE = JSON.parse(document.getElementById("page-data").textContent);
const SAMPLES = PAGE.samples;

/** Return the whole numbers of an array: base64, deflate, byte planes and zigzag undone. */
async function unpackWhole(name) {
  const text = atob(document.getElementById(`array-${name}`).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const size = planes.length / 2, numbers = new Int16Array(size);
  for (let i = 0; i < size; i++) {
    const zigzag = planes[i] | (planes[size + i] << 8);
    numbers[i] = (zigzag >>> 1) ^ -(zigzag & 1);
  }
  return numbers;
}

/** Return an array in its unit, as 32-bit floats. */
async function unpack(name) {
  const whole = await unpackWhole(name), {shape, step} = PAGE.arrays[name];
  const numbers = new Float32Array(whole.length), [rows, columns] = shape;
  if (!Array.isArray(step)) {
    for (let i = 0; i < whole.length; i++) numbers[i] = whole[i] * step;
    return numbers;
  }
  for (let c = 0; c < columns; c++)
    for (let r = 0; r < rows; r++) numbers[r * columns + c] = whole[c * rows + r] * step[c];
  return numbers;
}

/** Return the sums of differences, of 16 bits each, in place. */
function summed(deltas) {
  for (let i = 1; i < deltas.length; i++) deltas[i] += deltas[i - 1];
  return deltas;
}
